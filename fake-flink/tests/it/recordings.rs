//! Recorded calls replayed against the model.
