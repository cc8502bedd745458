//! `drey cluster` against stand-ins on PATH that play recorded answers, and against real tools where they are at hand.

mod colima;
mod explained;
mod files;
mod flags;
mod k3d;
mod kind;
mod lifecycle;
mod processes;
mod real;
mod stage;
