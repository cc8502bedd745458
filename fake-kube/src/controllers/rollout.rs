//! Sizes of ReplicaSets during a rollout: pure arithmetic of `deployment_util.go` and `rolling.go`.

use serde_json::Value;

use super::deployment::Sized;
use crate::json::{annotation, at, int_or, text};

/// `maxSurge` and `maxUnavailable` as counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub surge: i64,
    pub unavailable: i64,
}

impl Limits {
    pub fn of(deployment: &Value) -> Limits {
        let replicas = int_or(deployment, "/spec/replicas", 1);
        if text(deployment, "/spec/strategy/type") == "Recreate" {
            return Limits { surge: 0, unavailable: 0 };
        }
        let surge = count(at(deployment, "/spec/strategy/rollingUpdate/maxSurge"), replicas, true);
        let unavailable =
            count(at(deployment, "/spec/strategy/rollingUpdate/maxUnavailable"), replicas, false);
        // Both zero would never move; the real controller then allows one unavailable pod.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Limits { surge, unavailable: unavailable.min(replicas) }
    }
}

/// An IntOrString of `total`; percentages of surge round up, of unavailability down.
pub fn count(v: &Value, total: i64, up: bool) -> i64 {
    if let Some(n) = v.as_i64() {
        return n.max(0);
    }
    let percent = v.as_str().and_then(|s| s.strip_suffix('%')).and_then(|s| s.parse::<i64>().ok());
    let Some(percent) = percent else { return 0 };
    let scaled = percent.max(0) * total;
    if up { (scaled + 99) / 100 } else { scaled / 100 }
}

fn total(all: &[Sized]) -> i64 {
    all.iter().map(|rs| rs.replicas).sum()
}

/// The size a ReplicaSet is created with.
pub fn first_size(others: &[Sized], replicas: i64, limits: &Limits) -> i64 {
    (replicas + limits.surge - total(others)).clamp(0, replicas)
}

/// The next size of the new ReplicaSet.
pub fn new_size(new: &Sized, all: &[Sized], replicas: i64, limits: &Limits) -> i64 {
    if new.replicas >= replicas {
        return replicas;
    }
    let room = (replicas + limits.surge - total(all)).max(0);
    new.replicas + room.min(replicas - new.replicas)
}

/// The next sizes of the old ReplicaSets: unhealthy pods go first, healthy ones as availability allows.
pub fn old_sizes(new: &Sized, old: &[Sized], replicas: i64, limits: &Limits) -> Vec<i64> {
    let mut sizes: Vec<i64> = old.iter().map(|rs| rs.replicas).collect();
    let min_available = replicas - limits.unavailable;
    let new_unavailable = new.replicas - new.available();
    let mut removable = total(old) + new.replicas - min_available - new_unavailable;
    if removable <= 0 {
        return sizes;
    }
    for (rs, size) in old.iter().zip(&mut sizes) {
        let unhealthy = (*size - rs.available()).clamp(0, removable);
        *size -= unhealthy;
        removable -= unhealthy;
    }
    let available: i64 = old.iter().map(Sized::available).sum::<i64>() + new.available();
    let mut surplus = available - min_available;
    for size in &mut sizes {
        let less = surplus.clamp(0, *size);
        *size -= less;
        surplus -= less;
    }
    sizes
}

/// Sizes after a resize of the Deployment; `None` leaves a ReplicaSet alone.
pub fn proportional(all: &[Sized], new: Option<&Sized>, replicas: i64, limits: &Limits) -> Vec<Option<i64>> {
    let mut sizes = vec![None; all.len()];
    let active: Vec<usize> = (0..all.len()).filter(|i| all[*i].replicas > 0).collect();
    if active.len() <= 1 {
        // One active ReplicaSet, or else the new or the latest one, takes the whole change.
        let latest =
            new.and_then(|n| all.iter().position(|rs| rs.name() == n.name())).or(all.len().checked_sub(1));
        if let Some(i) = active.first().copied().or(latest) {
            sizes[i] = Some(replicas);
        }
        return sizes;
    }
    let saturated = new.filter(|n| n.replicas == replicas && n.available() == replicas);
    if let Some(new) = saturated {
        for (i, rs) in all.iter().enumerate() {
            if rs.name() != new.name() && rs.replicas > 0 {
                sizes[i] = Some(0);
            }
        }
        return sizes;
    }
    let allowed = if replicas > 0 { replicas + limits.surge } else { 0 };
    let to_add = allowed - total(all);
    let mut order = active;
    // Larger first; among equals growing prefers newer ones, shrinking older ones.
    order.sort_by_key(|i| (-all[*i].replicas, if to_add > 0 { all.len() - i } else { *i }));
    let mut added = 0;
    for i in &order {
        let share = if to_add == 0 { 0 } else { share(&all[*i], allowed, to_add, added) };
        sizes[*i] = Some(all[*i].replicas + share);
        added += share;
    }
    if let (Some(first), true) = (order.first(), to_add != 0) {
        let rest = to_add - added;
        sizes[*first] = sizes[*first].map(|s| (s + rest).max(0));
    }
    sizes
}

fn share(rs: &Sized, allowed: i64, to_add: i64, added: i64) -> i64 {
    let max =
        annotation(&rs.object, "deployment.kubernetes.io/max-replicas").and_then(|s| s.parse::<i64>().ok());
    let max = max.filter(|m| *m > 0).unwrap_or(allowed.max(1));
    // Rounded to the nearest, as the real controller does with floats.
    let wanted = (2 * rs.replicas * allowed + max).div_euclid(2 * max) - rs.replicas;
    let left = to_add - added;
    if to_add > 0 { wanted.min(left) } else { wanted.max(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    fn rs(name: &str, replicas: i64, available: i64) -> Sized {
        let object = json!({"metadata": {"name": name, "annotations": {"deployment.kubernetes.io/max-replicas": "13"}},
                            "status": {"availableReplicas": available}});
        Sized { object: Arc::new(object), replicas }
    }

    #[test]
    fn limits() {
        let check = |replicas: i64, surge: Value, unavailable: Value, expected: (i64, i64)| {
            let d = json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}});
            let l = Limits::of(&d);
            assert_eq!((l.surge, l.unavailable), expected);
        };
        check(1, json!("25%"), json!("25%"), (1, 0));
        check(10, json!("25%"), json!("25%"), (3, 2));
        check(4, json!(0), json!(0), (0, 1));
        check(2, json!(1), json!(5), (1, 2));
    }

    #[test]
    fn growing_and_shrinking() {
        let l = Limits { surge: 1, unavailable: 0 };
        let (old, new) = (rs("o", 1, 1), rs("n", 0, 0));
        assert_eq!(new_size(&new, &[old.clone(), new.clone()], 1, &l), 1, "one pod of surge");
        let new = rs("n", 1, 0);
        assert_eq!(
            old_sizes(&new, std::slice::from_ref(&old), 1, &l),
            [1],
            "the new pod is not available yet"
        );
        let new = rs("n", 1, 1);
        assert_eq!(old_sizes(&new, &[old], 1, &l), [0]);
        let broken = rs("o", 3, 1);
        let l = Limits { surge: 1, unavailable: 1 };
        assert_eq!(old_sizes(&rs("n", 1, 0), &[broken], 3, &l), [2], "one unhealthy old pod may go");
    }

    #[test]
    fn resizes_are_shared_out() {
        let l = Limits { surge: 3, unavailable: 2 };
        // The example of the Kubernetes documentation: 10 -> 15 during a rollout of 8 + 5 pods.
        let all = [rs("old", 8, 8), rs("new", 5, 0)];
        let l = Limits { surge: 4, ..l };
        let sizes = proportional(&all, Some(&all[1]), 15, &l);
        assert_eq!(sizes.iter().flatten().sum::<i64>(), 19);
        assert_eq!(proportional(&[rs("one", 2, 2)], None, 5, &l), [Some(5)]);
    }
}
