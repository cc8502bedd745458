mod contract;
mod transport;
