mod api;
mod cli;
mod contract;
mod operator;
mod transport;
mod world;
