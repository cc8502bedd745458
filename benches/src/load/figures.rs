//! What was measured, as tables: two servers side by side with the ratio of what a CPU second brings.

use std::time::Duration;

use crate::plot::{Chart, Series, grouped};

/// Operations and what they took.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub count: usize,
    pub real: Duration,
    /// Of the server; None where the system does not tell.
    pub cpu: Option<Duration>,
}

impl Work {
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.real.as_secs_f64().max(f64::EPSILON)
    }

    /// CPU microseconds of the server for one.
    pub fn cpu_micros(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() * 1e6 / self.count.max(1) as f64)
    }
}

/// Of one server.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub ready: Option<Duration>,
    pub answered: Option<Duration>,
    pub idle: Option<u64>,
    pub objects: usize,
    pub loaded: Option<u64>,
    pub create: Option<Work>,
    pub get: Option<Work>,
    pub status: Option<Work>,
    pub watchers: usize,
    pub watched: Option<Work>,
    pub list: Option<Work>,
}

/// One of the works measured.
type WorkOf = fn(&Figures) -> Option<Work>;

/// How much less than the real server ours is to take on these, per CPU second.
const FACTOR: &str = "20 x";

/// A table of ours, the real server where it was measured, and the goals.
pub fn side_by_side(ours: &Figures, real: Option<&Figures>) -> String {
    let none = Figures::default();
    let other = real.unwrap_or(&none);
    let mut text = "| | fake-kube | real CRD server | ratio | goal |\n|---|---:|---:|---:|---:|\n".to_owned();
    let mut row = |what: &str, of: &dyn Fn(&Figures) -> Option<(f64, String)>, goal: &str| {
        let (ours, other) = (of(ours), of(other));
        let ratio = match (&ours, &other) {
            (Some((ours, _)), Some((other, _))) if *ours > 0.0 => format!("{:.1} x", other / ours),
            _ => "-".to_owned(),
        };
        let shown = |figure: Option<(f64, String)>| figure.map_or("-".to_owned(), |(_, text)| text);
        text += &format!("| {what} | {} | {} | {ratio} | {goal} |\n", shown(ours), shown(other));
    };
    let time =
        |time: Option<Duration>| time.map(|t| (t.as_secs_f64(), format!("{:.1} ms", t.as_secs_f64() * 1e3)));
    let memory = |bytes: Option<u64>| bytes.map(|b| (b as f64, format!("{:.1} MB", b as f64 / 1e6)));
    row("start to `ready`", &|f| time(f.ready), "20 ms");
    row("start to the first answer", &|f| time(f.answered), "");
    row("memory, idle", &|f| memory(f.idle), "20 MB");
    let objects = grouped(ours_objects(ours));
    row(&format!("memory with {objects} objects"), &|f| memory(f.loaded), "100 MB");
    let watched = format!("status merge patch, {} watchers", ours.watchers);
    let operations: [(&str, WorkOf, &str); 4] = [
        ("create", |f| f.create, FACTOR),
        ("get", |f| f.get, FACTOR),
        ("status merge patch, no watcher", |f| f.status, ""),
        (&watched, |f| f.watched, FACTOR),
    ];
    for (what, of, goal) in operations {
        let cpu = |f: &Figures| {
            of(f)?.cpu_micros().map(|micros| (micros, format!("{} us CPU", grouped(micros.round()))))
        };
        row(what, &cpu, goal);
    }
    let list =
        |f: &Figures| f.list?.cpu_micros().map(|micros| (micros, format!("{:.1} ms CPU", micros / 1e3)));
    row(&format!("list of {objects}"), &list, "");
    let real_time = |f: &Figures| time(f.list.map(|w| w.real / w.count.max(1) as u32));
    row(&format!("list of {objects}, real time"), &real_time, "60 ms");
    text += "\n| requests per second of real time | fake-kube | real CRD server |\n|---|---:|---:|\n";
    for (what, of, _) in operations {
        let shown = |f: &Figures| of(f).map_or("-".to_owned(), |work| grouped(work.per_second().round()));
        text += &format!("| {what} | {} | {} |\n", shown(ours), shown(other));
    }
    text
}

fn ours_objects(ours: &Figures) -> f64 {
    ours.objects as f64
}

/// A figure of the server in this process.
#[derive(Clone, Debug)]
pub struct Row {
    pub what: String,
    /// Objects of the kind that were there.
    pub objects: usize,
    pub watchers: &'static str,
    pub work: Work,
    /// Watchers that were woken.
    pub woken: usize,
}

impl Row {
    fn per_cpu_second(&self) -> Option<f64> {
        Some(1e6 / self.work.cpu_micros()?.max(f64::EPSILON))
    }
}

pub fn in_process_table(rows: &[Row]) -> String {
    let mut text = "| work | objects | watchers | per CPU s | one | watchers woken by one |\n\
                    |---|---:|---|---:|---:|---:|\n"
        .to_owned();
    for row in rows {
        let rate = row.per_cpu_second().map_or("-".to_owned(), |rate| grouped(rate.round()));
        let one = row.work.cpu_micros().map_or("-".to_owned(), |micros| format!("{micros:.1} us"));
        let woken = row.woken as f64 / row.work.count.max(1) as f64;
        let (objects, woken) = (grouped(row.objects as f64), grouped(woken));
        text += &format!("| {} | {objects} | {} | {rate} | {one} | {woken} |\n", row.what, row.watchers);
    }
    text
}

/// What a write costs over the number of objects.
pub fn chart(rows: &[Row], lines: &[(&'static str, &'static str, &'static str)]) -> Chart {
    let series = lines.iter().map(|(watchers, name, colour)| Series {
        name,
        colour,
        points: rows
            .iter()
            .filter(|row| row.watchers == *watchers)
            .filter_map(|row| Some((row.objects as f64, row.per_cpu_second()?)))
            .collect(),
    });
    Chart {
        title: "Updates in process, over the number of objects",
        x: "objects of the kind",
        y: "updates per CPU second",
        series: series.collect(),
    }
}
