//! Where snapshots are kept: in memory, in a folder, on an S3 server.

#[cfg(feature = "kubernetes")]
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use fake_flink::SnapshotStore;
use fake_flink::storage::{Directory, Medium};

pub fn open(place: Option<&str>) -> anyhow::Result<SnapshotStore> {
    let Some(place) = place else { return Ok(SnapshotStore::new()) };
    let medium: Arc<dyn Medium> = match place.strip_prefix("s3://") {
        Some(bucket) => objects(bucket)?,
        None => {
            let open = || format!("open --storage {place}");
            Arc::new(Directory::open(Path::new(place)).with_context(open)?)
        }
    };
    SnapshotStore::open(medium).with_context(|| format!("read --storage {place}"))
}

#[cfg(feature = "s3")]
fn objects(place: &str) -> anyhow::Result<Arc<dyn Medium>> {
    use fake_flink::storage::{S3, S3Options};
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let needed = |name: &'static str| {
        variable(name).with_context(|| format!("open --storage s3://{place}: the environment has no {name}"))
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
    let options = S3Options {
        endpoint: endpoint.with_context(|| {
            format!("open --storage s3://{place}: the environment has no AWS_ENDPOINT_URL, for example http://127.0.0.1:9000")
        })?,
        region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        access_key: needed("AWS_ACCESS_KEY_ID")?,
        secret_key: needed("AWS_SECRET_ACCESS_KEY")?,
    };
    Ok(Arc::new(S3::open(options).with_context(|| format!("open --storage s3://{place}"))?))
}

#[cfg(not(feature = "s3"))]
fn objects(place: &str) -> anyhow::Result<Arc<dyn Medium>> {
    anyhow::bail!("open --storage s3://{place}: this binary was built without the feature s3")
}

/// In a container: local paths are what they say, and lie on its volumes; objects are where the configuration has the
/// server, as Flink's S3 plugins read it.
#[cfg(feature = "kubernetes")]
pub fn of_configuration(conf: &BTreeMap<String, String>) -> anyhow::Result<SnapshotStore> {
    let medium: Arc<dyn Medium> = match server(conf) {
        Some(objects) => Arc::new(fake_flink::storage::ByScheme::new(Directory::as_named(), objects)),
        None => Arc::new(Directory::as_named()),
    };
    SnapshotStore::open(medium).context("open the storage of the container")
}

#[cfg(all(feature = "kubernetes", feature = "s3"))]
fn server(conf: &BTreeMap<String, String>) -> Option<Arc<dyn Medium>> {
    use fake_flink::storage::{S3, S3Options};
    let get = |key: &str, name: &str| conf.get(key).cloned().or_else(|| std::env::var(name).ok());
    let options = S3Options {
        endpoint: get("s3.endpoint", "AWS_ENDPOINT_URL")?,
        region: get("s3.region", "AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        bucket: String::new(),
        prefix: String::new(),
        access_key: get("s3.access-key", "AWS_ACCESS_KEY_ID")?,
        secret_key: get("s3.secret-key", "AWS_SECRET_ACCESS_KEY")?,
    };
    Some(Arc::new(S3::of_many_buckets(options)))
}

#[cfg(all(feature = "kubernetes", not(feature = "s3")))]
fn server(_: &BTreeMap<String, String>) -> Option<Arc<dyn Medium>> {
    None
}
