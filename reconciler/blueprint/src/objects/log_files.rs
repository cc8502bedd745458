//! Log configuration of the processes: the user's, or ours.

use std::collections::BTreeMap;

use drey_api::FlinkDeploymentSpec;

pub(crate) const LOG4J: &str = "log4j-console.properties";
pub(crate) const LOGBACK: &str = "logback-console.xml";

/// Files by name. `spec.logConfiguration` replaces ours as a whole: a file not given there does not exist.
pub(super) fn of(spec: &FlinkDeploymentSpec) -> BTreeMap<String, String> {
    match &spec.log_configuration {
        Some(files) => files.clone(),
        None => BTreeMap::from([
            (LOG4J.to_owned(), include_str!("log4j-console.properties").to_owned()),
            (LOGBACK.to_owned(), include_str!("logback-console.xml").to_owned()),
        ]),
    }
}
