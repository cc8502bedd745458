//! The state file: a line per change, each with its checksum, led by the objects that were there when it was last written
//! anew. A line that the last crash tore off is dropped; damage anywhere else is an error, for what follows it may rest
//! on what is lost.

use std::collections::BTreeMap;

use fake_kube_apiserver::{Contents, Resource};
use serde_json::{Value, json};

const HEAD: &str = "fake-kube state 1";

/// Objects by group, plural, namespace and name.
type Objects = BTreeMap<[String; 4], (Resource, Value)>;

/// What a file holds.
#[derive(Debug)]
pub struct Read {
    pub contents: Contents,
    /// Bytes of a torn last line.
    pub torn: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Damage {
    /// Not a state file, or one of another version.
    Head,
    Line(usize),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Damage::Head => write!(f, "this is no state file ({HEAD:?} expected in its first line)"),
            Damage::Line(n) => {
                write!(
                    f,
                    "line {n} is damaged, and later ones are not; take a copy of the file, or begin anew without it"
                )
            }
        }
    }
}

impl std::error::Error for Damage {}

/// The whole file for these objects.
pub fn write(contents: &Contents) -> Vec<u8> {
    let mut out = format!("{HEAD}\n").into_bytes();
    line(&mut out, &json!({"snapshot": contents.revision, "drawn": contents.drawn.to_string()}));
    for (resource, object) in &contents.objects {
        line(&mut out, &json!({"put": object, "of": [resource.group, resource.version, resource.plural]}));
    }
    out
}

/// A change, to be appended. None: the object went.
pub fn change(resource: &Resource, object: &Value, deleted: bool, revision: u64, drawn: u128) -> Vec<u8> {
    let mut out = Vec::new();
    let of = [&resource.group, &resource.version, &resource.plural];
    let what = if deleted { "delete" } else { "put" };
    // Of what is deleted only the name counts.
    let object = if deleted {
        json!({"metadata": {"namespace": object["metadata"]["namespace"], "name": object["metadata"]["name"]}})
    } else {
        object.clone()
    };
    line(&mut out, &json!({what: object, "of": of, "revision": revision, "drawn": drawn.to_string()}));
    out
}

fn line(out: &mut Vec<u8>, value: &Value) {
    let text = value.to_string();
    out.extend(format!("{:08x} ", crc32(text.as_bytes())).bytes());
    out.extend(text.bytes());
    out.push(b'\n');
}

pub fn read(bytes: &[u8]) -> Result<Read, Damage> {
    let mut lines = bytes.split_inclusive(|b| *b == b'\n');
    if lines.next() != Some(format!("{HEAD}\n").as_bytes()) {
        return Err(Damage::Head);
    }
    let lines: Vec<&[u8]> = lines.collect();
    let (mut objects, mut revision, mut drawn, mut torn) = (Objects::new(), 0, 0, 0);
    for (i, text) in lines.iter().enumerate() {
        let Some(value) = checked(text) else {
            if i + 1 == lines.len() && i > 0 {
                torn = text.len();
                break;
            }
            return Err(Damage::Line(i + 2));
        };
        if let Some(n) = value["snapshot"].as_u64() {
            revision = n;
        }
        drawn = value["drawn"].as_str().and_then(|d| d.parse().ok()).map_or(drawn, |d: u128| d.max(drawn));
        if let Some(n) = value["revision"].as_u64() {
            // Appended while the file was written anew: the objects at its beginning have it already.
            if n <= revision {
                continue;
            }
            revision = n;
        }
        apply(&mut objects, value);
    }
    let contents = Contents { revision, drawn, objects: objects.into_values().collect() };
    Ok(Read { contents, torn })
}

fn apply(objects: &mut Objects, mut value: Value) {
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let of = &value["of"];
    let resource = Resource::new(&text(&of[0]), &text(&of[1]), &text(&of[2]));
    let key = |o: &Value| {
        let meta = &o["metadata"];
        [resource.group.clone(), resource.plural.clone(), text(&meta["namespace"]), text(&meta["name"])]
    };
    if value["put"].is_object() {
        let object = value["put"].take();
        objects.insert(key(&object), (resource.clone(), object));
    } else if value["delete"].is_object() {
        objects.remove(&key(&value["delete"]));
    }
}

fn checked(line: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, text) = text.split_once(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32(text.as_bytes())).then_some(())?;
    serde_json::from_str(text).ok()
}

/// CRC-32 as in zip files.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut c = i as u32;
            let mut k = 0;
            while k < 8 {
                c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
                k += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, b| TABLE[((c ^ u32::from(*b)) & 0xff) as usize] ^ (c >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(name: &str, k: &str) -> Value {
        json!({"metadata": {"namespace": "n", "name": name}, "data": {"k": k}})
    }

    fn sample() -> Vec<u8> {
        let r = Resource::core("configmaps");
        let first = Contents { revision: 5, drawn: 3, objects: vec![(r.clone(), config_map("a", "1"))] };
        let mut file = write(&first);
        file.extend(change(&r, &config_map("a", "stale"), false, 4, 1));
        file.extend(change(&r, &config_map("b", "1"), false, 6, 9));
        file.extend(change(&r, &config_map("a", ""), true, 7, 9));
        file.extend(change(&r, &config_map("c", "1"), false, 8, 12));
        file
    }

    fn names(read: &Read) -> Vec<&str> {
        read.contents.objects.iter().filter_map(|(_, o)| o["metadata"]["name"].as_str()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let read = super::read(&sample()).expect("a good file");
        assert_eq!((names(&read), read.contents.revision, read.contents.drawn), (vec!["b", "c"], 8, 12));
        assert_eq!(read.torn, 0);
    }

    #[test]
    fn every_torn_end_is_tolerated_and_damage_is_not() {
        let file = sample();
        let last = file[..file.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines") + 1;
        for end in last..file.len() {
            let read = super::read(&file[..end]).expect("a torn end");
            assert_eq!((names(&read), read.contents.revision, read.torn), (vec!["b"], 7, end - last));
        }
        let mut damaged = file.clone();
        damaged[last - 10] ^= 1;
        assert_eq!(super::read(&damaged).map(|_| ()), Err(Damage::Line(6)));
        assert_eq!(super::read(b"apiVersion: v1\n").map(|_| ()), Err(Damage::Head));
    }
}
