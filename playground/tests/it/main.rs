//! Integration tests of the page's server.

mod browser;
mod cluster;
mod server;
