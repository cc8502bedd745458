//! How cases are drawn from a seed.

use fake_kube_apiserver::conformance::Case;
use fastrand::Rng;
use serde_json::{Value, json};

pub trait Chance {
    fn one<T: Copy>(&mut self, of: &[T]) -> T;
    /// True once in `n` times.
    fn rarely(&mut self, n: u32) -> bool;
}

impl Chance for Rng {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.usize(..of.len())]
    }

    fn rarely(&mut self, n: u32) -> bool {
        self.u32(..n) == 0
    }
}

/// A case in the form of a recorded one, without answers. `variables` are what is captured before it is.
pub fn drawn(id: String, steps: Vec<Value>, variables: Value) -> Case {
    Case {
        title: id.clone(),
        id,
        priority: String::new(),
        needs: vec!["crd".to_owned()],
        managed_fields: true,
        recorded: vec![],
        raw: json!({"steps": steps, "variables": variables}),
    }
}
