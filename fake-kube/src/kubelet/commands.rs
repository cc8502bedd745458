//! The few commands that can be run in a container (`kubectl exec`): what its environment and its mounted files answer.
//! There is no file system and no process behind them: nothing can be written, and anything else is not found.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::environment;
use crate::json::{name, set};
use crate::view::View;

/// Longest script, and most output of one command.
const SCRIPT_MAX: usize = 64 << 10;
const OUTPUT_MAX: usize = 1 << 20;
/// `sh -c` within `sh -c`.
const DEPTH_MAX: usize = 8;

/// What a command finds around itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub env: BTreeMap<String, String>,
    pub files: BTreeMap<String, String>,
    pub hostname: String,
    pub now: Timestamp,
    /// The container's image has whatever a script calls, and it does well: its lifecycle hooks are written for it.
    pub has_image: bool,
}

impl Surroundings {
    /// What a command run beside a container's process finds.
    pub fn of(view: &View, pod: &Value, container: &Value, ip: &str, now: Timestamp) -> Surroundings {
        let mut pod = pod.clone();
        set(&mut pod, "/status/podIP", ip.into());
        let mut env = environment::variables(view, &pod, container).unwrap_or_default();
        env.entry("HOSTNAME".to_owned()).or_insert_with(|| name(&pod).to_owned());
        for (key, value) in
            [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")]
        {
            env.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
        let files = environment::files(view, &pod, container);
        Surroundings { env, files, hostname: name(&pod).to_owned(), now, has_image: false }
    }

    pub fn with_image(self) -> Surroundings {
        Surroundings { has_image: true, ..self }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
    /// How long it took (`sleep`).
    pub took: Duration,
    /// `exit` was called: a shell that reads on ends.
    pub exits: bool,
}

impl Output {
    fn say(text: impl Into<String>) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    fn fail(code: i32, text: impl Into<String>) -> Output {
        Output { stderr: text.into(), code, ..Output::default() }
    }
}

/// Runs a command; None when there is no such program.
pub fn run(argv: &[String], around: &Surroundings) -> Option<Output> {
    program(argv, around, 0)
}

/// Whether a command reads its input as a shell.
pub fn is_shell(argv: &[String]) -> bool {
    let name = argv.first().map_or("", |a| base(a));
    matches!(name, "sh" | "bash" | "ash")
        && argv[1..].iter().all(|a| matches!(a.as_str(), "-i" | "-l" | "-s"))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn program(argv: &[String], around: &Surroundings, depth: usize) -> Option<Output> {
    let (first, rest) = argv.split_first()?;
    // Programs are found on the path, or in the folders it is made of.
    let name = base(first);
    let folder = first.strip_suffix(name).unwrap_or("");
    if !matches!(folder, "" | "/bin/" | "/usr/bin/" | "/sbin/" | "/usr/local/bin/") {
        return None;
    }
    Some(match name {
        "true" => Output::default(),
        "false" => Output { code: 1, ..Output::default() },
        "echo" => echo(rest),
        "env" => Output::say(around.env.iter().map(|(k, v)| format!("{k}={v}\n")).collect::<String>()),
        "printenv" => printenv(rest, around),
        "hostname" => Output::say(format!("{}\n", around.hostname)),
        "pwd" => Output::say("/\n"),
        "whoami" => Output::say("root\n"),
        "date" => date(rest, around),
        "cat" => cat(rest, around),
        "ls" => list(rest, around),
        "sleep" => sleep(rest),
        "sh" | "bash" | "ash" => match rest {
            [flag, text, ..] if flag == "-c" || flag == "-ec" || flag == "-xc" => {
                script(text, around, depth + 1)
            }
            _ => Output::default(),
        },
        _ => return None,
    })
}

fn echo(words: &[String]) -> Output {
    match words.split_first() {
        Some((flag, rest)) if flag == "-n" => Output::say(rest.join(" ")),
        _ => Output::say(format!("{}\n", words.join(" "))),
    }
}

fn printenv(names: &[String], around: &Surroundings) -> Output {
    if names.is_empty() {
        return Output::say(around.env.iter().map(|(k, v)| format!("{k}={v}\n")).collect::<String>());
    }
    let found = names.iter().filter_map(|n| around.env.get(n));
    let text: String = found.clone().map(|v| format!("{v}\n")).collect();
    Output { code: i32::from(found.count() < names.len()), ..Output::say(text) }
}

fn date(words: &[String], around: &Surroundings) -> Output {
    let format = words.iter().find_map(|w| w.strip_prefix('+')).unwrap_or("%a %b %e %H:%M:%S UTC %Y");
    match jiff::fmt::strtime::format(format, around.now.to_zoned(jiff::tz::TimeZone::UTC).datetime()) {
        Ok(text) => Output::say(format!("{text}\n")),
        Err(_) => Output::fail(1, format!("date: invalid date format '+{format}'\n")),
    }
}

fn cat(names: &[String], around: &Surroundings) -> Output {
    let mut out = Output::default();
    for name in names {
        match around.files.get(name) {
            Some(text) => out.stdout.push_str(text),
            None => {
                let why = if in_folder(name, around).is_empty() {
                    "No such file or directory"
                } else {
                    "Is a directory"
                };
                out.stderr.push_str(&format!("cat: {name}: {why}\n"));
                out.code = 1;
            }
        }
    }
    out
}

/// The names below a folder, sorted.
fn in_folder(folder: &str, around: &Surroundings) -> Vec<String> {
    let prefix = format!("{}/", folder.trim_end_matches('/'));
    let below = around.files.keys().filter_map(|p| p.strip_prefix(&prefix));
    let mut names: Vec<String> = below.filter_map(|p| p.split('/').next().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names
}

fn list(words: &[String], around: &Surroundings) -> Output {
    let mut paths: Vec<&str> = words.iter().map(String::as_str).filter(|w| !w.starts_with('-')).collect();
    if paths.is_empty() {
        paths.push("/");
    }
    let mut out = Output::default();
    for path in paths {
        let names = in_folder(path, around);
        if around.files.contains_key(path) {
            out.stdout.push_str(&format!("{path}\n"));
        } else if !names.is_empty() || path == "/" {
            out.stdout.push_str(&names.iter().map(|n| format!("{n}\n")).collect::<String>());
        } else {
            out.stderr.push_str(&format!("ls: {path}: No such file or directory\n"));
            out.code = 1;
        }
    }
    out
}

fn sleep(words: &[String]) -> Output {
    let asked = words.first().and_then(|w| w.trim_end_matches('s').parse::<f64>().ok());
    match asked.and_then(|s| Duration::try_from_secs_f64(s).ok()) {
        Some(took) => Output { took, ..Output::default() },
        None => Output::fail(1, "sleep: invalid number\n"),
    }
}

/// Commands joined by `;`, `&&`, `||` and line ends, with quotes and variables. Pipes and redirections are refused.
fn script(text: &str, around: &Surroundings, depth: usize) -> Output {
    if text.len() > SCRIPT_MAX || depth > DEPTH_MAX {
        return Output::fail(2, "sh: script is too long\n");
    }
    let mut out = Output::default();
    let mut run = true;
    for part in match split(text, around) {
        Ok(parts) => parts,
        Err(_) if around.has_image => return out,
        Err(why) => return Output::fail(2, format!("sh: {why}\n")),
    } {
        if run && let Some((first, rest)) = part.words.split_first() {
            let one = match first.as_str() {
                "exit" => {
                    let code = rest.first().and_then(|c| c.parse().ok()).unwrap_or(out.code);
                    return Output { code, exits: true, ..out };
                }
                "cd" | "set" | "export" | ":" => Output::default(),
                "exec" => program(rest, around, depth).unwrap_or_default(),
                _ => program(&part.words, around, depth).unwrap_or_else(|| match around.has_image {
                    true => Output::default(),
                    false => Output::fail(127, format!("sh: {first}: not found\n")),
                }),
            };
            out.stdout.push_str(&one.stdout);
            out.stderr.push_str(&one.stderr);
            out.code = one.code;
            out.took += one.took;
            if out.stdout.len() > OUTPUT_MAX {
                return Output::fail(1, "sh: too much output\n");
            }
        }
        run = match part.then {
            Then::Always => true,
            Then::IfGood => out.code == 0,
            Then::IfBad => out.code != 0,
        };
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Always,
    IfGood,
    IfBad,
}

struct Part {
    words: Vec<String>,
    then: Then,
}

fn split(text: &str, around: &Surroundings) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut chars = text.chars().peekable();
    let mut end = |words: &mut Vec<String>, word: &mut Option<String>, then| {
        words.extend(word.take());
        parts.push(Part { words: std::mem::take(words), then });
    };
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            ';' | '\n' => end(&mut words, &mut word, Then::Always),
            '&' if chars.next_if_eq(&'&').is_some() => end(&mut words, &mut word, Then::IfGood),
            '|' if chars.next_if_eq(&'|').is_some() => end(&mut words, &mut word, Then::IfBad),
            // Of a script that is written for its image, what goes into files and pipes is of no interest.
            '<' | '>' if around.has_image => {
                words.extend(word.take().filter(|w| !w.bytes().all(|b| b.is_ascii_digit())));
                while chars.next_if(|c| matches!(c, '<' | '>' | '&' | ' ')).is_some() {}
                while chars.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '&' | '|')).is_some() {}
            }
            '&' | '|' if around.has_image => end(&mut words, &mut word, Then::Always),
            '&' | '|' | '<' | '>' | '(' | ')' | '`' => {
                return Err(format!("syntax error: unexpected \"{c}\""));
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '\'' => loop {
                let to = word.get_or_insert_default();
                match chars.next() {
                    Some('\'') => break,
                    Some(c) => to.push(c),
                    None => return Err("syntax error: unterminated quoted string".to_owned()),
                }
            },
            '"' => loop {
                let to = word.get_or_insert_default();
                match chars.next() {
                    Some('"') => break,
                    Some('\\') => to.extend(chars.next()),
                    Some('$') => to.push_str(&variable(&mut chars, around)),
                    Some(c) => to.push(c),
                    None => return Err("syntax error: unterminated quoted string".to_owned()),
                }
            },
            '$' => {
                let value = variable(&mut chars, around);
                word.get_or_insert_default().push_str(&value);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    end(&mut words, &mut word, Then::Always);
    Ok(parts)
}

fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, around: &Surroundings) -> String {
    let braced = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if braced {
        while chars.next_if(|c| *c != '}').is_some() {}
        chars.next();
    }
    if name.is_empty() { "$".to_owned() } else { around.env.get(&name).cloned().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        Surroundings {
            env: map(&[("A", "1"), ("HOME", "/root")]),
            files: map(&[("/etc/c/one", "x\n"), ("/etc/c/two/three", "y")]),
            hostname: "web-1".to_owned(),
            now: Timestamp::UNIX_EPOCH,
            has_image: false,
        }
    }

    #[test]
    fn commands() {
        let check = |argv: &[&str], stdout: &str, stderr: &str, code: i32| {
            let argv: Vec<String> = argv.iter().map(|s| (*s).to_owned()).collect();
            let out = run(&argv, &around()).expect("a known program");
            assert_eq!(
                (out.stdout.as_str(), out.stderr.as_str(), out.code),
                (stdout, stderr, code),
                "{argv:?}"
            );
        };
        check(&["echo", "a", "b"], "a b\n", "", 0);
        check(&["/bin/hostname"], "web-1\n", "", 0);
        check(&["env"], "A=1\nHOME=/root\n", "", 0);
        check(&["printenv", "A", "B"], "1\n", "", 1);
        check(&["cat", "/etc/c/one"], "x\n", "", 0);
        check(&["cat", "/etc/c"], "", "cat: /etc/c: Is a directory\n", 1);
        check(&["cat", "/nope"], "", "cat: /nope: No such file or directory\n", 1);
        check(&["ls", "/etc/c"], "one\ntwo\n", "", 0);
        check(&["ls"], "etc\n", "", 0);
        check(&["date"], "Thu Jan  1 00:00:00 UTC 1970\n", "", 0);
        check(&["date", "+%F"], "1970-01-01\n", "", 0);
        check(
            &["sh", "-c", "echo \"$A ${A}\" '$A'; false || echo x && echo y; exit 3; echo z"],
            "1 1 $A\nx\ny\n",
            "",
            3,
        );
        check(&["sh", "-c", "nope 1"], "", "sh: nope: not found\n", 127);
        check(&["sh", "-c", "echo a > b"], "", "sh: syntax error: unexpected \">\"\n", 2);
        check(&["sh", "-c", "echo 'a"], "", "sh: syntax error: unterminated quoted string\n", 2);
        assert_eq!(run(&["nope".to_owned()], &around()), None);
        assert_eq!(run(&["/opt/cat".to_owned()], &around()), None);
        assert_eq!(script("sleep 1.5", &around(), 0).took, Duration::from_millis(1500));
        // A hook's script calls what its image has.
        let hook = |text: &str| script(text, &around().with_image(), 0);
        assert_eq!((hook("nginx -s quit; sleep 2").code, hook("sleep 2; nope").took.as_secs()), (0, 2));
        assert_eq!((hook("echo hello > /dev/null").code, hook("nginx && exit 4").code), (0, 4));
        let piped = hook("sleep 3 2>&1 >/dev/null | tee /x && sleep 1");
        assert_eq!((piped.took.as_secs(), piped.code), (4, 0));
    }
}
