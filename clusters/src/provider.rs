//! Words for who makes a cluster.

/// What one asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    K3d,
    Kind,
    Colima,
    /// A cluster that is there already.
    Kubeconfig,
    /// Whatever this machine has.
    Auto,
}

impl Provider {
    pub const NAMES: &[&'static str] = &["k3d", "kind", "colima", "kubeconfig", "auto"];

    /// `name`: one of [`Provider::NAMES`]; anything else is `auto`.
    pub fn named(name: &str) -> Provider {
        match name {
            "k3d" => Provider::K3d,
            "kind" => Provider::Kind,
            "colima" => Provider::Colima,
            "kubeconfig" => Provider::Kubeconfig,
            _ => Provider::Auto,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Provider::K3d => "k3d",
            Provider::Kind => "kind",
            Provider::Colima => "colima",
            Provider::Kubeconfig => "kubeconfig",
            Provider::Auto => "auto",
        }
    }
}
