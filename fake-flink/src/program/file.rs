//! Programs from a YAML or JSON file: strict, with errors that name file, line, field and the nearest valid spelling.
//!
//! A document is one program: a single job (`vertices`), several (`jobs`), or a `main()` that throws (`throws`). With
//! `class` it answers to that entry class, without it to every class that nobody else answers to. The shape is
//! described in docs/fake-flink-jobs.md.

use super::job::{Exchange, Input, InvalidJob, Job, Ship, VertexSpec};
use super::table::{Behaviour, Execution, Program, ProgramTable};
use super::workload::{Arrivals, StateSize, Topic, Work};
use crate::throwable::{Throwable, class};
use serde::Deserialize;
use serde_saphyr::{Error, Location, Spanned};
use std::fmt;
use std::time::Duration;

/// Where a file is wrong, what is wrong there, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    pub file: String,
    /// From 1; 0 where the file as a whole is meant.
    pub line: u64,
    pub column: u64,
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message),
        }
    }
}

impl std::error::Error for FileError {}

const TEXT_MAX: usize = 1 << 20;

/// Puts the programs of a file into `table`; says which entry classes they answer to (`None`: every other).
pub fn read(table: &mut ProgramTable, file: &str, text: &str) -> Result<Vec<Option<String>>, FileError> {
    let reader = Reader { file };
    if text.len() > TEXT_MAX {
        return Err(reader.whole(format!("larger than {TEXT_MAX} bytes")));
    }
    let documents = split(text);
    if documents.is_empty() {
        return Err(reader.whole("holds no program: give it `name` and `vertices`".to_owned()));
    }
    let mut found = Vec::new();
    for (line, document) in documents {
        let (class, program) = reader.program(&document).map_err(|e| e.moved(line))?;
        if found.contains(&class) {
            let whom =
                class.map_or("programs without `class`".to_owned(), |c| format!("programs of class {c:?}"));
            return Err(FileError { line: line + 1, ..reader.whole(format!("there are two {whom}")) });
        }
        match &class {
            Some(class) => table.insert(class, program),
            None => table.set_default(program),
        }
        found.push(class);
    }
    Ok(found)
}

/// The documents of a text, each with the number of lines before it.
fn split(text: &str) -> Vec<(u64, String)> {
    let mut documents = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            documents.push((number as u64 + 1, String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    documents.retain(|(_, document)| !document.lines().all(is_comment));
    documents
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct JobsFile {
    class: Option<String>,
    execution: Option<ExecutionFile>,
    jobs: Vec<Spanned<JobFile>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ExecutionFile {
    OneAfterAnother,
    AllAtOnce,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThrowsFile {
    class: Option<String>,
    throws: ThrowableFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThrowableFile {
    class: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct JobFile {
    class: Option<String>,
    name: String,
    #[serde(default)]
    batch: bool,
    rate: Option<u64>,
    records: Option<u64>,
    fail_at: Option<u64>,
    failure: Option<ThrowableFile>,
    failing_vertex: Option<Spanned<String>>,
    vertices: Vec<Spanned<VertexFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct VertexFile {
    name: String,
    uid: Option<String>,
    parallelism: Option<u32>,
    max_parallelism: Option<u32>,
    #[serde(default)]
    inputs: Vec<Spanned<InputFile>>,
    source: Option<Spanned<SourceFile>>,
    cost: Option<Spanned<String>>,
    selectivity: Option<Spanned<f64>>,
    state: Option<StateFile>,
    opening: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputFile {
    from: String,
    ship: Option<Ship>,
    #[serde(default)]
    exchange: ExchangeFile,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum ExchangeFile {
    #[default]
    Pipelined,
    Blocking,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SourceFile {
    rate: Option<f64>,
    steps: Option<Vec<StepFile>>,
    every: Option<Spanned<String>>,
    trace: Option<TraceFile>,
    sine: Option<SineFile>,
    topic: Option<String>,
    partitions: Option<Spanned<u32>>,
    backlog: Option<f64>,
    since: Option<Spanned<String>>,
    out_of_orderness: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    at: Spanned<String>,
    rate: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceFile {
    interval: Spanned<String>,
    rates: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SineFile {
    mean: f64,
    amplitude: f64,
    period: Spanned<String>,
    shift: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct StateFile {
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    bytes_per_record: u64,
    bytes_max: Option<u64>,
}

struct Reader<'f> {
    file: &'f str,
}

type Read<T> = Result<T, FileError>;

impl Reader<'_> {
    fn program(&self, text: &str) -> Read<(Option<String>, Program)> {
        let keys: serde_json::Value = self.parse(text)?;
        if keys.get("throws").is_some() {
            let ThrowsFile { class, throws } = self.parse(text)?;
            return Ok((class, Program { behaviour: Behaviour::Throws(throwable(throws)) }));
        }
        if keys.get("jobs").is_none() {
            let file: JobFile = self.parse(text)?;
            return Ok((file.class.clone(), Program::job(self.job(file)?)));
        }
        let JobsFile { class, execution, jobs } = self.parse(text)?;
        let execution = match execution.unwrap_or(ExecutionFile::OneAfterAnother) {
            ExecutionFile::OneAfterAnother => Execution::OneAfterAnother,
            ExecutionFile::AllAtOnce => Execution::AllAtOnce,
        };
        let jobs = jobs.into_iter().map(|job| {
            if job.value.class.is_some() {
                let text = "`class` stands beside `jobs`: one entry class has all of them";
                return Err(self.at(job.referenced, text));
            }
            self.job(job.value)
        });
        Ok((class, Program { behaviour: Behaviour::Jobs { jobs: jobs.collect::<Read<_>>()?, execution } }))
    }

    fn job(&self, file: JobFile) -> Read<Job> {
        let places: Vec<Location> = file.vertices.iter().map(|v| v.referenced).collect();
        let mut vertices: Vec<VertexSpec> = Vec::new();
        for vertex in file.vertices {
            let vertex = self.vertex(vertex.value, &vertices)?;
            vertices.push(vertex);
        }
        let failing =
            file.failing_vertex.map(|v| self.find(&v.value, v.referenced, &vertices)).transpose()?;
        let built = Job::streaming(&file.name, vertices);
        let job = built.map_err(|InvalidJob { vertex, why }| match vertex.and_then(|at| places.get(at)) {
            Some(place) => self.at(*place, why),
            None => self.whole(why),
        })?;
        if file.batch && file.records.is_none() && job.vertices.iter().all(|v| v.topic.is_none()) {
            return Err(self.whole(format!("batch job {:?} never ends: give it `records`", file.name)));
        }
        Ok(Job {
            batch: file.batch,
            rate: file.rate.unwrap_or(job.rate),
            records: file.records,
            fail_at: file.fail_at,
            failure: file.failure.map_or(job.failure, throwable),
            failing_vertex: failing.unwrap_or(job.failing_vertex),
            ..job
        })
    }

    fn vertex(&self, file: VertexFile, before: &[VertexSpec]) -> Read<VertexSpec> {
        let mut vertex = match &file.uid {
            Some(uid) => VertexSpec::new(&file.name, uid),
            None => VertexSpec::named(&file.name),
        };
        (vertex.parallelism, vertex.max_parallelism) = (file.parallelism, file.max_parallelism);
        for input in file.inputs {
            let from = self.find(&input.value.from, input.referenced, before)?;
            let even = before[from].parallelism == vertex.parallelism;
            let ship = input.value.ship.unwrap_or(if even { Ship::Forward } else { Ship::Rebalance });
            vertex.inputs.push(Input {
                from,
                ship,
                exchange: match input.value.exchange {
                    ExchangeFile::Blocking => Exchange::Blocking,
                    ExchangeFile::Pipelined => Exchange::Pipelined,
                },
            });
        }
        vertex.topic = file.source.map(|source| self.topic(source, &file.name)).transpose()?;
        vertex.work = Work {
            cost: file.cost.map(|cost| self.duration(&cost)).transpose()?,
            selectivity: file
                .selectivity
                .map(|s| self.amount(s.value, s.referenced, "selectivity"))
                .transpose()?,
            state: file.state.map(|s| StateSize {
                base: s.bytes,
                per_record: s.bytes_per_record,
                max: s.bytes_max,
            }),
        };
        vertex.opening = file.opening.map(|opening| self.duration(&opening)).transpose()?;
        Ok(vertex)
    }

    /// A vertex by uid or name.
    fn find(&self, wanted: &str, place: Location, vertices: &[VertexSpec]) -> Read<usize> {
        let named = |v: &VertexSpec| v.uid.as_deref() == Some(wanted) || v.name == wanted;
        let mut found = vertices.iter().enumerate().filter(|(_, v)| named(v)).map(|(at, _)| at);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => {
                Err(self.at(place, format!("several vertices are called {wanted:?}: give them a `uid`")))
            }
            (None, _) => {
                let known = vertices.iter().map(|v| v.uid.as_deref().unwrap_or(&v.name));
                let hint = hint(wanted, known, "the vertices before it are");
                Err(self.at(place, format!("there is no vertex {wanted:?} before this one{hint}")))
            }
        }
    }

    fn topic(&self, source: Spanned<SourceFile>, vertex: &str) -> Read<Topic> {
        let (place, file) = (source.referenced, source.value);
        let every = file.every.as_ref().map(|every| self.positive(every)).transpose()?;
        let given = [file.rate.is_some(), file.steps.is_some(), file.trace.is_some(), file.sine.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(self.at(place, "a source has exactly one of `rate`, `steps`, `trace` and `sine`"));
        }
        if every.is_some() && file.steps.is_none() && file.trace.is_none() {
            return Err(self.at(place, "`every` belongs to `steps` or `trace`"));
        }
        let arrivals = match (file.rate, file.steps, file.trace, file.sine) {
            (Some(rate), ..) => Arrivals::Constant(self.amount(rate, place, "rate")?),
            (_, Some(steps), ..) => Arrivals::Steps { steps: self.steps(steps, place)?, every },
            (_, _, Some(trace), _) => Arrivals::Steps { steps: self.trace(trace, place)?, every },
            (.., sine) => self.sine(sine.ok_or_else(|| self.at(place, "no arrivals"))?, place)?,
        };
        if let Some(partitions) = file.partitions.as_ref().filter(|p| !(1..=100_000).contains(&p.value)) {
            let text = format!("{} partitions: a topic has 1 to 100000", partitions.value);
            return Err(self.at(partitions.referenced, text));
        }
        Ok(Topic {
            arrivals,
            partitions: file.partitions.map(|p| p.value),
            backlog: self.amount(file.backlog.unwrap_or(0.0), place, "backlog")?,
            name: file
                .topic
                .unwrap_or_else(|| vertex.trim_start_matches("Source: ").replace([' ', ':'], "_")),
            since_ms: file.since.map(|since| self.instant(&since)).transpose()?,
            out_of_orderness: file.out_of_orderness.map(|d| self.duration(&d)).transpose()?,
        })
    }

    fn steps(&self, steps: Vec<StepFile>, place: Location) -> Read<Vec<(Duration, f64)>> {
        let mut out: Vec<(Duration, f64)> = Vec::new();
        for step in steps {
            let at = self.duration(&step.at)?;
            if out.last().is_some_and(|(before, _)| *before >= at) {
                return Err(self.at(step.at.referenced, "steps stand in the order of their time"));
            }
            out.push((at, self.amount(step.rate, step.at.referenced, "rate")?));
        }
        if out.is_empty() { Err(self.at(place, "`steps` is empty")) } else { Ok(out) }
    }

    fn trace(&self, trace: TraceFile, place: Location) -> Read<Vec<(Duration, f64)>> {
        let interval = self.positive(&trace.interval)?;
        if trace.rates.is_empty() {
            return Err(self.at(place, "`rates` of the trace is empty"));
        }
        let times = (0u32..).map(|n| interval.saturating_mul(n));
        let rates = trace.rates.into_iter().map(|rate| self.amount(rate, place, "rate"));
        times.zip(rates).map(|(at, rate)| Ok((at, rate?))).collect()
    }

    fn sine(&self, sine: SineFile, place: Location) -> Read<Arrivals> {
        Ok(Arrivals::Sine {
            mean: self.amount(sine.mean, place, "mean")?,
            amplitude: self.amount(sine.amplitude, place, "amplitude")?,
            period: self.positive(&sine.period)?,
            shift: sine.shift.map_or(Ok(Duration::ZERO), |shift| self.duration(&shift))?,
        })
    }

    /// Finite and not negative; rates and backlogs beyond 10^12 are mistakes.
    fn amount(&self, value: f64, place: Location, what: &str) -> Read<f64> {
        if (0.0..=1e12).contains(&value) {
            return Ok(value);
        }
        Err(self.at(place, format!("{what} is {value}: a number from 0 to 1e12 is expected")))
    }

    fn duration(&self, text: &Spanned<String>) -> Read<Duration> {
        duration(&text.value).ok_or_else(|| {
            let message = format!(
                "{:?} is not a duration: write for example 200us, 1.5ms, 30s, 10min or 1h",
                text.value
            );
            self.at(text.referenced, message)
        })
    }

    fn positive(&self, text: &Spanned<String>) -> Read<Duration> {
        match self.duration(text)? {
            Duration::ZERO => Err(self.at(text.referenced, "must be longer than nothing")),
            positive => Ok(positive),
        }
    }

    fn instant(&self, text: &Spanned<String>) -> Read<i64> {
        let parsed: Result<jiff::Timestamp, _> = text.value.parse();
        parsed.map(jiff::Timestamp::as_millisecond).map_err(|_| {
            let message =
                format!("{:?} is not an instant: write for example 2026-11-22T08:00:00Z", text.value);
            self.at(text.referenced, message)
        })
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, text: &str) -> Read<T> {
        serde_saphyr::from_str(text).map_err(|error| self.explained(&error))
    }

    fn explained(&self, error: &Error) -> FileError {
        let error = error.without_snippet();
        let message = match error {
            Error::SerdeUnknownField { field, expected, .. } => {
                let hint = hint(field, expected.iter().copied(), "known are");
                format!("unknown field {field:?}{hint}")
            }
            Error::SerdeUnknownVariant { variant, expected, .. } => {
                let hint = hint(variant, expected.iter().copied(), "known are");
                format!("unknown value {variant:?}{hint}")
            }
            Error::SerdeMissingField { field, .. } => format!("the field {field:?} is missing"),
            other => {
                let text = other.to_string();
                text.lines().next().unwrap_or("not YAML").to_owned()
            }
        };
        match error.location() {
            Some(place) => self.at(place, message),
            None => self.whole(message),
        }
    }

    fn at(&self, place: Location, message: impl Into<String>) -> FileError {
        let (line, column) = (place.line(), place.column());
        FileError { file: self.file.to_owned(), line, column, message: message.into() }
    }

    fn whole(&self, message: String) -> FileError {
        FileError { file: self.file.to_owned(), line: 0, column: 0, message }
    }
}

impl FileError {
    fn moved(mut self, by: u64) -> FileError {
        self.line += if self.line > 0 { by } else { 0 };
        self
    }
}

fn throwable(file: ThrowableFile) -> Throwable {
    let class = file.class.as_deref().unwrap_or(class::RUNTIME);
    file.message.map_or_else(|| Throwable::bare(class), |message| Throwable::new(class, message))
}

/// A number with a unit, fractions allowed: costs per record are often less than a millisecond.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let number: f64 = text[..digits].parse().ok()?;
    let seconds = match text[digits..].trim() {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// The nearest of the known spellings, or all of them.
fn hint<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone, introduction: &str) -> String {
    let near =
        known.clone().map(|k| (strsim::levenshtein(&wrong.to_lowercase(), &k.to_lowercase()), k)).min();
    match near {
        Some((steps, near)) if steps <= 1 + near.len() / 4 => format!(": did you mean {near:?}?"),
        Some(_) => format!("; {introduction} {}", known.take(20).collect::<Vec<_>>().join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = r#"
class: com.example.Orders
name: Orders
vertices:
  - name: "Source: orders -> parse"
    uid: orders
    source: { rate: 1000, partitions: 12, out-of-orderness: 5s }
    cost: 200us
  - name: enrich
    uid: enrich
    max-parallelism: 720
    inputs: [{ from: orders, ship: HASH }]
    cost: 1.5ms
    selectivity: 0.5
    state: { bytes: 1000, bytes-per-record: 20 }
  - name: "out: Writer"
    parallelism: 1
    inputs: [{ from: enrich }]
"#;

    fn error(text: &str) -> String {
        read(&mut ProgramTable::default(), "j.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_job_is_read_whole() {
        let mut table = ProgramTable::default();
        let classes = read(&mut table, "j.yaml", ORDERS).unwrap();
        assert_eq!(classes, [Some("com.example.Orders".to_owned())]);
        let Behaviour::Job(job) = table.find(Some("com.example.Orders")).with_args(&[]) else {
            panic!("no job")
        };
        let ships: Vec<Ship> = job.vertices.iter().flat_map(|v| &v.inputs).map(|i| i.ship).collect();
        assert_eq!(ships, [Ship::Hash, Ship::Rebalance]);
        assert_eq!(job.vertices[1].work.cost, Some(Duration::from_micros(1500)));
        assert_eq!(job.vertices[0].topic.as_ref().unwrap().partitions, Some(12));
        assert!(job.has_workload());
    }

    #[test]
    fn json_is_read_as_well_and_several_documents_too() {
        let mut table = ProgramTable::default();
        let text = "{\"name\": \"a\", \"vertices\": [{\"name\": \"Source: a\"}]}\n---\n# second\nclass: X\nthrows: {message: no}\n";
        assert_eq!(read(&mut table, "j.json", text).unwrap(), [None, Some("X".to_owned())]);
        assert!(matches!(table.find(Some("X")).behaviour, Behaviour::Throws(_)));
        assert!(matches!(table.find(Some("other")).behaviour, Behaviour::Job(_)));
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let check = |from: &str, to: &str, expected: &str| {
            assert!(ORDERS.contains(from));
            assert_eq!(error(&ORDERS.replacen(from, to, 1)), expected);
        };
        check(
            "selectivity",
            "selectivty",
            "j.yaml:14:5: unknown field \"selectivty\": did you mean \"selectivity\"?",
        );
        check("ship: HASH", "ship: HASHED", "j.yaml:12:36: unknown value \"HASHED\": did you mean \"HASH\"?");
        check(
            "from: enrich",
            "from: enrch",
            "j.yaml:18:14: there is no vertex \"enrch\" before this one: did you mean \"enrich\"?",
        );
        check(
            "cost: 1.5ms",
            "cost: 1.5",
            "j.yaml:13:11: \"1.5\" is not a duration: write for example 200us, 1.5ms, 30s, 10min or 1h",
        );
        check(
            "rate: 1000",
            "rate: 1000, sine: {mean: 1, amplitude: 1, period: 1h}",
            "j.yaml:7:13: a source has exactly one of `rate`, `steps`, `trace` and `sine`",
        );
        check("rate: 1000", "rate: -1", "j.yaml:7:13: rate is -1: a number from 0 to 1e12 is expected");
        check(
            "max-parallelism: 720",
            "max-parallelism: 0",
            "j.yaml:9:5: max parallelism 0 is not within 1 to 32768",
        );
        check("name: Orders\n", "", "j.yaml:3:1: the field \"name\" is missing");
    }

    #[test]
    fn errors_of_later_documents_count_from_the_top() {
        assert_eq!(
            error(&format!("{ORDERS}---\nnam: x\nvertices: []\n")),
            "j.yaml:20:1: unknown field \"nam\": did you mean \"name\"?"
        );
        assert_eq!(error("# nothing\n"), "j.yaml: holds no program: give it `name` and `vertices`");
    }
}
