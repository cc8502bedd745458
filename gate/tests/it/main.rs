//! The gate on fixture reports: pass, regress, improve, noise, bad input, and what each listener is told.

mod bad_input;
mod baselines;
mod listeners;
mod support;
mod verdicts;
