//! What makes the `flink` image what it is to those who start it: the files it reads, the words its entry point takes, the
//! pods its JobManager asks for. Values only; the container's own process is in the binary.

pub mod configuration;
pub mod entry;
pub mod surroundings;
pub mod task_manager_pod;

use std::collections::BTreeMap;

use crate::Version;
use configuration::Configuration;

/// Whether the configuration asks for Kubernetes HA.
pub fn has_ha(conf: &BTreeMap<String, String>) -> bool {
    let kind = conf.get("high-availability.type").or(conf.get("high-availability"));
    kind.is_some_and(|kind| {
        kind.eq_ignore_ascii_case("kubernetes") || kind.ends_with("KubernetesHaServicesFactory")
    })
}

/// The image decides which Flink runs; where its tag says nothing, what the operator was told does.
pub fn version(image: &str, conf: &Configuration) -> Version {
    // `1.20.3-java17`: what follows the number is about the image, not about Flink.
    let tag = image.rsplit_once(':').and_then(|(_, tag)| tag.split('-').next());
    let told = conf.entries.get("$internal.flink.version").map(String::as_str);
    let fallback = if conf.is_nested_file { Version::V2_2 } else { Version::V1_20 };
    [tag, told].into_iter().flatten().find_map(|text| text.parse().ok()).unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_names_the_version_and_the_spec_helps_out() {
        let check = |image: &str, told: Option<&str>, expected: &str| {
            let entries = told.map(|text| ("$internal.flink.version".to_owned(), text.to_owned()));
            let conf = Configuration { entries: entries.into_iter().collect(), is_nested_file: false };
            assert_eq!(version(image, &conf).to_string(), expected, "{image} told {told:?}");
        };
        check("flink:1.18", Some("v1_20"), "1.18.1");
        check("flink:2.0-java17", None, "2.0.0");
        check("registry.example.com:5000/demo:latest", Some("v1_18"), "1.18.1");
        check("registry.example.com:5000/demo:latest", None, "1.20.3");
    }
}
