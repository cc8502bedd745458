//! The words after the image's entry point: what an operator, Flink's own client or a person asks the container to be.
//! `docker-entrypoint.sh` of the image and `kubernetes-jobmanager.sh` behind it (reference kubernetes-objects.md 1.2, 1.5, 2).

use std::collections::BTreeMap;
use std::fmt;

use crate::Mode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Application,
    Session,
    TaskManager,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub role: Role,
    /// The JobManager brings its TaskManagers as pods, and the configuration comes from files alone.
    pub native: bool,
    /// `-D` properties: they win over the files.
    pub conf: BTreeMap<String, String>,
    /// Of `standalone-job`; a native application has them in its configuration.
    main_class: Option<String>,
    arguments: Vec<String>,
}

/// Words that this image does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "start {:?}: fake-flink stands in for standalone-job, jobmanager, taskmanager, kubernetes-jobmanager.sh and \
             kubernetes-taskmanager.sh",
            self.0
        )
    }
}

impl std::error::Error for Unknown {}

impl Entry {
    /// Reads the arguments of the entry point, `bash -c` included.
    ///
    /// # Errors
    /// They start something else.
    pub fn parse(arguments: &[String]) -> Result<Entry, Unknown> {
        let words: Vec<String> = match arguments {
            [shell, flag, line, ..] if flag == "-c" && matches!(base(shell), "bash" | "sh") => {
                line.split_whitespace().map(str::to_owned).collect()
            }
            other => other.to_vec(),
        };
        let unknown = || Unknown(words.join(" "));
        let mut words_left = words.iter().map(String::as_str);
        let (role, native) = match base(words_left.next().unwrap_or_default()) {
            "kubernetes-jobmanager.sh" => match words_left.next() {
                Some("kubernetes-application") => (Role::Application, true),
                Some("kubernetes-session") => (Role::Session, true),
                _ => return Err(unknown()),
            },
            "kubernetes-taskmanager.sh" => (Role::TaskManager, true),
            "standalone-job" => (Role::Application, false),
            "jobmanager" => (Role::Session, false),
            "taskmanager" => (Role::TaskManager, false),
            _ => return Err(unknown()),
        };
        let mut entry =
            Entry { role, native, conf: BTreeMap::new(), main_class: None, arguments: Vec::new() };
        entry.take(words_left);
        Ok(entry)
    }

    fn take<'a>(&mut self, mut words: impl Iterator<Item = &'a str>) {
        let is_application = self.role == Role::Application && !self.native;
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default().to_owned();
            match word {
                "-D" => self.property(&value()),
                _ if word.starts_with("-D") => self.property(&word[2..]),
                "--job-classname" | "-j" if is_application => self.main_class = Some(value()),
                "--job-id" | "-jid" if is_application => {
                    self.conf.insert("$internal.pipeline.job-id".to_owned(), value());
                }
                "--fromSavepoint" | "-s" if is_application => {
                    self.conf.insert("execution.savepoint.path".to_owned(), value());
                }
                "--allowNonRestoredState" | "-n" if is_application => {
                    self.conf
                        .insert("execution.savepoint.ignore-unclaimed-state".to_owned(), "true".to_owned());
                }
                "--jars" if is_application => {
                    self.conf.insert("pipeline.jars".to_owned(), value());
                }
                "--configDir" | "-c" | "--host" | "-h" | "--webui-port" | "-r" => drop(value()),
                word if is_application => self.arguments.push(word.to_owned()),
                _ => {}
            }
        }
    }

    fn property(&mut self, text: &str) {
        if let Some((key, value)) = text.split_once('=') {
            self.conf.insert(key.to_owned(), value.to_owned());
        }
    }

    /// What the JobManager runs, under the whole configuration.
    pub fn mode(&self, conf: &BTreeMap<String, String>) -> Mode {
        if self.role != Role::Application {
            return Mode::Session;
        }
        let told = conf.get("$internal.application.program-args").map(String::as_str).unwrap_or_default();
        let told = told.split(';').filter(|arg| !arg.is_empty()).map(str::to_owned).collect();
        Mode::Application {
            main_class: self.main_class.clone().or_else(|| conf.get("$internal.application.main").cloned()),
            args: if self.native { told } else { self.arguments.clone() },
            jar: conf.get("pipeline.jars").cloned(),
        }
    }
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// What the image's entry point adds to the configuration from its environment, in every form but the native ones (there
/// the files are read-only).
pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut conf = BTreeMap::from([
        ("blob.server.port".to_owned(), "6124".to_owned()),
        ("query.server.port".to_owned(), "6125".to_owned()),
    ]);
    for (key, name) in [
        ("jobmanager.rpc.address", "JOB_MANAGER_RPC_ADDRESS"),
        ("taskmanager.numberOfTaskSlots", "TASK_MANAGER_NUMBER_OF_TASK_SLOTS"),
    ] {
        conf.extend(variable(name).filter(|value| !value.is_empty()).map(|value| (key.to_owned(), value)));
    }
    conf.extend(
        variable("FLINK_PROPERTIES").map(|text| super::configuration::flat(&text)).unwrap_or_default(),
    );
    conf
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Entry, Unknown> {
        Entry::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn native_containers() {
        let entry = parse(&["bash", "-c", "kubernetes-jobmanager.sh kubernetes-application "]).unwrap();
        assert_eq!((entry.role, entry.native), (Role::Application, true));
        let conf = BTreeMap::from([
            ("$internal.application.main".to_owned(), "a.B".to_owned()),
            ("$internal.application.program-args".to_owned(), "--x;1".to_owned()),
        ]);
        let args = vec!["--x".to_owned(), "1".to_owned()];
        let main_class = Some("a.B".to_owned());
        assert_eq!(entry.mode(&conf), Mode::Application { main_class, args, jar: None });
        let line = "kubernetes-taskmanager.sh -Da=b -D taskmanager.numberOfTaskSlots=4 ";
        let entry = parse(&["bash", "-c", line]).unwrap();
        assert_eq!(
            (entry.role, entry.conf["taskmanager.numberOfTaskSlots"].as_str()),
            (Role::TaskManager, "4")
        );
        assert_eq!(entry.conf["a"], "b");
        let session =
            parse(&["bash", "-c", "/opt/flink/bin/kubernetes-jobmanager.sh kubernetes-session"]).unwrap();
        assert_eq!((session.role, session.mode(&conf)), (Role::Session, Mode::Session));
    }

    #[test]
    fn standalone_containers() {
        let entry = parse(&[
            "standalone-job",
            "--job-classname",
            "a.B",
            "--fromSavepoint",
            "/sp/1",
            "--allowNonRestoredState",
            "-D",
            "jobmanager.rpc.address=10.0.0.1",
            "--records",
            "5",
        ])
        .unwrap();
        assert_eq!(entry.conf["execution.savepoint.path"], "/sp/1");
        assert_eq!(entry.conf["jobmanager.rpc.address"], "10.0.0.1");
        let Mode::Application { main_class, args, .. } = entry.mode(&BTreeMap::new()) else { panic!() };
        assert_eq!(
            (main_class.as_deref(), args),
            (Some("a.B"), vec!["--records".to_owned(), "5".to_owned()])
        );
        assert_eq!(parse(&["taskmanager"]).unwrap().role, Role::TaskManager);
        for other in [&["history-server"][..], &[], &["bash", "-c", "sleep 5"], &["kubernetes-jobmanager.sh"]]
        {
            assert!(parse(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn the_environment_speaks_to_standalone_containers() {
        let conf = of_environment(|name| match name {
            "FLINK_PROPERTIES" => Some("parallelism.default: 3\nblob.server.port: 7\n".to_owned()),
            "JOB_MANAGER_RPC_ADDRESS" => Some("jobmanager".to_owned()),
            _ => None,
        });
        assert_eq!((conf["parallelism.default"].as_str(), conf["blob.server.port"].as_str()), ("3", "7"));
        assert_eq!(conf["jobmanager.rpc.address"], "jobmanager");
    }
}
