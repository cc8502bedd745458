//! Scenarios counted by the worlds they run in.

use drey_language::Scenario;

use super::mode::Mode;

/// How many scenarios run in each world.
pub fn per_mode<'s>(scenarios: impl Iterator<Item = &'s Scenario> + Clone) -> [(Mode, usize); 3] {
    let runs_in = |scenario: &&Scenario, mode: Mode| scenario.modes.iter().any(|one| one == mode.name());
    Mode::ALL.map(|mode| (mode, scenarios.clone().filter(|scenario| runs_in(scenario, mode)).count()))
}
