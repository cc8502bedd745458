//! Configuration: keys, values and their texts, the operator's own settings and what holds for one cluster.

pub mod keys;

mod conf;
mod duration;
pub mod effective;
mod memory;
mod operator_config;
mod quantity;
mod resources;
mod text;

pub use conf::{ConfValue, FlinkConf, InvalidValue, Key, MemorySize};
pub use duration::{duration_text, parse_duration};
pub use memory::{parse_memory, parse_process_memory};
pub use operator_config::OperatorConfig;
pub use quantity::{Quantity, parse_quantity};
pub(crate) use resources::amount_text;
pub use resources::{ProcessResources, process_resources};
pub use text::{ConfigFileError, parse_legacy, parse_standard};
