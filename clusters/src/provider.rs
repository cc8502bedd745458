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

    /// What to do about a tool that is none of them.
    pub const OTHERS: &'static str =
        "make the cluster with its own tool, then choose `kubeconfig`, with --yes-use-context NAME";

    /// # Errors
    /// Why it is none of [`Provider::NAMES`], and what to do.
    pub fn check(name: &str) -> Result<String, String> {
        if Provider::NAMES.contains(&name) {
            return Ok(name.to_owned());
        }
        let next = match drey_yaml::diagnostics::nearest(name, Provider::NAMES) {
            Some(near) => format!("did you mean {near}?"),
            None => Provider::OTHERS.to_owned(),
        };
        Err(format!("there is no provider `{name}`, only {}\nnext: {next}", Provider::NAMES.join(", ")))
    }

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
