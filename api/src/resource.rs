//! The frame around a spec and a status, and its place in the Kubernetes API.
//!
//! By hand instead of `#[derive(CustomResource)]`: the derive would bring a schema generator whose output differs
//! from the CRDs in the field (it states formats, defaults and required fields; theirs state none), see `crd`.

macro_rules! custom_resource {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $plural:literal, $spec:ty, $status:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            #[serde(default = "api_version")]
            pub api_version: String,
            #[serde(default = "kind")]
            pub kind: String,
            #[serde(default)]
            pub metadata: $crate::ObjectMeta,
            #[serde(default, deserialize_with = "crate::lenient::or_default")]
            pub spec: $spec,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub status: Option<$status>,
        }

        fn api_version() -> String {
            $crate::constants::API_VERSION.to_owned()
        }

        fn kind() -> String {
            $kind.to_owned()
        }

        impl $name {
            pub const KIND: &'static str = $kind;
            pub const PLURAL: &'static str = $plural;

            pub fn new(name: &str, spec: $spec) -> Self {
                let metadata = $crate::ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
                Self { api_version: api_version(), kind: kind(), metadata, spec, status: None }
            }

            /// The name, or nothing for an object that never saw an API server.
            pub fn name(&self) -> &str {
                self.metadata.name.as_deref().unwrap_or_default()
            }

            pub fn namespace(&self) -> &str {
                self.metadata.namespace.as_deref().unwrap_or_default()
            }

            pub fn uid(&self) -> &str {
                self.metadata.uid.as_deref().unwrap_or_default()
            }

            pub fn generation(&self) -> i64 {
                self.metadata.generation.unwrap_or_default()
            }
        }

        impl kube_core::Resource for $name {
            type DynamicType = ();
            type Scope = kube_core::NamespaceResourceScope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $crate::constants::GROUP.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $crate::constants::VERSION.into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &$crate::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut $crate::ObjectMeta {
                &mut self.metadata
            }
        }

        impl kube_core::object::HasSpec for $name {
            type Spec = $spec;

            fn spec(&self) -> &$spec {
                &self.spec
            }

            fn spec_mut(&mut self) -> &mut $spec {
                &mut self.spec
            }
        }

        impl kube_core::object::HasStatus for $name {
            type Status = $status;

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn status_mut(&mut self) -> &mut Option<$status> {
                &mut self.status
            }
        }
    };
}

pub(crate) use custom_resource;
