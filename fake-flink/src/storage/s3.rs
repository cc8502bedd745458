//! Snapshots on any S3 server. Requests are signed by `rusty-s3` and sent by `ureq`, which waits: the model goes on when
//! the object is stored, as a real checkpoint completes when its metadata is.
//!
//! A path of an S3 scheme is an object of the bucket it names; others lie in the storage's own bucket, below its prefix.

use std::fmt;
use std::io;
use std::time::Duration;

use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use super::medium::{FILE_MAX, LIST_MAX, Medium, join, split};
use crate::net;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    /// `http://127.0.0.1:9000`.
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub prefix: String,
    pub access_key: String,
    pub secret_key: String,
}

pub struct S3 {
    options: S3Options,
    credentials: Credentials,
    agent: ureq::Agent,
}

/// Secrets stay out of messages.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {} at {}", self.options.bucket, self.options.endpoint)
    }
}

/// Of one request: the whole cluster waits for it.
const REQUEST_MAX: Duration = Duration::from_secs(10);
const SIGNED_FOR: Duration = Duration::from_secs(60);
const SCHEMES: [&str; 3] = ["s3", "s3a", "s3p"];
const PAGE: usize = 1000;

impl S3 {
    /// # Errors
    /// The endpoint is no URL, or the bucket cannot be listed.
    pub fn open(options: S3Options) -> io::Result<S3> {
        let s3 = S3::of_many_buckets(options);
        let bucket = s3.bucket(&s3.options.bucket)?;
        s3.page(&bucket, "", None)?;
        Ok(s3)
    }

    /// Without a bucket of its own: paths name theirs, and have no place otherwise.
    pub fn of_many_buckets(options: S3Options) -> S3 {
        let credentials = Credentials::new(options.access_key.clone(), options.secret_key.clone());
        S3 { options, credentials, agent: net::agent(None, REQUEST_MAX) }
    }

    fn bucket(&self, name: &str) -> io::Result<Bucket> {
        let endpoint = self.options.endpoint.parse().map_err(|why| wrong(&self.options.endpoint, &why))?;
        Bucket::new(endpoint, UrlStyle::Path, name.to_owned(), self.options.region.clone())
            .map_err(|why| wrong(name, &why))
    }

    fn object(&self, path: &str) -> io::Result<(Bucket, String)> {
        let (scheme, segments) = split(path).ok_or_else(|| wrong(path, &"no path"))?;
        match segments.split_first() {
            Some((bucket, key)) if SCHEMES.contains(&scheme) => Ok((self.bucket(bucket)?, key.join("/"))),
            _ if self.options.bucket.is_empty() => Err(wrong(path, &"no bucket")),
            _ => {
                let key = format!("{}{scheme}/{}", self.prefix(), segments.join("/"));
                Ok((self.bucket(&self.options.bucket)?, key))
            }
        }
    }

    fn prefix(&self) -> String {
        match self.options.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    /// Keys of one page and how to ask for the next.
    fn page(
        &self,
        bucket: &Bucket,
        prefix: &str,
        from: Option<&str>,
    ) -> io::Result<(Vec<String>, Option<String>)> {
        let mut action = bucket.list_objects_v2(Some(&self.credentials));
        action.with_prefix(prefix);
        action.with_max_keys(PAGE);
        if let Some(token) = from {
            action.with_continuation_token(token);
        }
        let text = net::text(self.agent.get(action.sign(SIGNED_FOR).as_str()).call(), FILE_MAX)?;
        let page =
            rusty_s3::actions::ListObjectsV2::parse_response(&text).map_err(|why| wrong("a list", &why))?;
        let keys = page.contents.into_iter().map(|object| object.key).collect();
        Ok((keys, page.next_continuation_token))
    }

    fn keys(&self, bucket: &Bucket, prefix: &str) -> io::Result<Vec<String>> {
        let (mut keys, mut next) = self.page(bucket, prefix, None)?;
        while let Some(token) = next.filter(|_| keys.len() < LIST_MAX) {
            let page = self.page(bucket, prefix, Some(&token))?;
            keys.extend(page.0);
            next = page.1;
        }
        Ok(keys)
    }
}

impl Medium for S3 {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let (bucket, key) = self.object(path)?;
        let url = bucket.put_object(Some(&self.credentials), &key).sign(SIGNED_FOR);
        net::text(self.agent.put(url.as_str()).send(bytes), FILE_MAX).map(drop)
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let (bucket, key) = self.object(path)?;
        let url = bucket.get_object(Some(&self.credentials), &key).sign(SIGNED_FOR);
        match net::bytes(self.agent.get(url.as_str()).call(), FILE_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (bucket, key) = self.object(path)?;
        let url = bucket.delete_object(Some(&self.credentials), &key).sign(SIGNED_FOR);
        match net::text(self.agent.delete(url.as_str()).call(), FILE_MAX) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let (bucket, key) = self.object(folder)?;
        let below = format!("{key}/");
        let keys = self.keys(&bucket, &below)?;
        Ok(keys
            .iter()
            .filter_map(|found| Some(format!("{folder}/{}", found.strip_prefix(&below)?)))
            .collect())
    }

    fn is_remote(&self) -> bool {
        true
    }

    /// What lies below the own prefix; other buckets are looked into when a path names them.
    fn all(&self) -> io::Result<Vec<String>> {
        if self.options.bucket.is_empty() {
            return Ok(Vec::new());
        }
        let prefix = self.prefix();
        let keys = self.keys(&self.bucket(&self.options.bucket)?, &prefix)?;
        let paths = keys.iter().filter_map(|key| {
            let (scheme, rest) = key.strip_prefix(&prefix)?.split_once('/')?;
            let segments: Vec<String> = rest.split('/').map(str::to_owned).collect();
            (scheme == "file").then(|| join(scheme, &segments))
        });
        Ok(paths.collect())
    }
}

fn wrong(what: &str, why: &dyn fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {why}"))
}
