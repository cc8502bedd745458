//! The whole loop in virtual time, invariants on: real time of a scenario minute with calm deployments.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drey_benches::operations::SEED;
use drey_benches::speed;

const MINUTE: Duration = Duration::from_secs(60);

fn whole_loop(c: &mut Criterion) {
    // Under `cargo test` each runs once, and small.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let sizes: &[usize] = if is_bench { &[1, 20, 100] } else { &[1, 3] };
    for deployments in sizes {
        let life = speed::life(*deployments, MINUTE, SEED).expect("a fleet's life passes");
        println!("whole loop, {deployments} deployments: checksum {:016x}", life.checksum);
    }
    let mut group = c.benchmark_group("scenario minute");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(3));
    for deployments in sizes {
        // One pass a minute each: elements are passes.
        group.throughput(Throughput::Elements(*deployments as u64));
        group.bench_function(format!("{deployments} deployments"), |b| {
            b.iter_custom(|minutes| {
                let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
                speed::calm(*deployments, MINUTE * minutes, SEED).expect("a calm fleet stays calm").real
            });
        });
    }
    group.finish();
}

criterion_group!(benches, whole_loop);
criterion_main!(benches);
