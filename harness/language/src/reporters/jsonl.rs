//! JSON lines: one record per line, `type` first. The first line says the schema version. Readers skip record types
//! and fields they do not know.

use super::Reporter;
use crate::events::{Event, SCHEMA};
use crate::report::{CaseReport, RunReport};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Writes records as things happen.
pub struct JsonLines<W: Write> {
    out: W,
}

impl<W: Write> JsonLines<W> {
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines { out }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn record(&mut self, value: &Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> Reporter for JsonLines<W> {
    fn begin(&mut self, cases: usize) -> io::Result<()> {
        self.record(&json!({"type": "run", "schema": SCHEMA, "cases": cases}))
    }

    fn case_started(&mut self, title: &str) -> io::Result<()> {
        self.record(&json!({"type": "case", "case": title}))
    }

    fn event(&mut self, title: &str, event: &Event) -> io::Result<()> {
        let mut record = json!({"type": "event", "case": title});
        if let (Value::Object(record), Value::Object(event)) = (&mut record, serde_json::to_value(event)?) {
            record.extend(event);
        }
        self.record(&record)
    }

    fn case_finished(&mut self, case: &CaseReport) -> io::Result<()> {
        let mut record = json!({"type": "result", "case": case.title()});
        if let (Value::Object(record), Value::Object(mut whole)) = (&mut record, serde_json::to_value(case)?)
        {
            // The events were written one by one already.
            whole.shift_remove("events");
            whole.shift_remove("case");
            record.extend(whole);
        }
        self.record(&record)
    }

    fn end(&mut self, report: &RunReport) -> io::Result<()> {
        let summary = json!({"type": "summary", "passed": report.count("passed"), "failed": report.count("failed"),
            "broken": report.count("broken"), "skipped": report.count("skipped")});
        self.record(&summary)?;
        self.out.flush()
    }
}
