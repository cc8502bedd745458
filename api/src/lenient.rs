//! Reading rules shared by all types.
//!
//! Specs stored by Apache's operator (reconciler.md 2.10) spell out unset fields as `null`; a null means "not
//! given", so the default applies. A whole number may arrive as `2.0`: the schema's `integer` accepts it.
//! An object that passes the API server's schema must never fail to read: one such object would stop the list of all.

use serde::{Deserialize, Deserializer, de};

/// A missing or null value reads as the type's default.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A whole number or null.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match Option::<serde_json::Number>::deserialize(deserializer)? {
        None => Ok(None),
        Some(number) => whole(&number)
            .map(Some)
            .ok_or_else(|| de::Error::custom(format!("expected a whole number of 64 bits, got {number}"))),
    }
}

/// A whole number; null and absence read as 0.
pub fn integer_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(integer(deserializer)?.unwrap_or(0))
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    if let Some(n) = number.as_i64() {
        return Some(n);
    }
    let float = number.as_f64()?;
    let in_range = (-9.007_199_254_740_992e15..=9.007_199_254_740_992e15).contains(&float);
    (in_range && float.fract() == 0.0).then_some(float as i64)
}
