//! The pure part: one decision on observations taken out of a run.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use drey_benches::observations::samples;
use drey_benches::operations::SEED;
use drey_reconciler::Policy;

fn decide(c: &mut Criterion) {
    let policy = Policy::default();
    let samples = samples(SEED).expect("the run that gives the observations passes");
    let mut group = c.benchmark_group("decide");
    for sample in samples {
        println!("decide/{}: checksum {:016x}, plan {:?}", sample.name, sample.decide(&policy), sample.plan);
        group.bench_function(sample.name, |b| {
            b.iter(|| drey_reconciler::decide(black_box(&sample.observation), &policy, sample.now))
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
