//! Java objects as Flink's own clients read them: the Object Serialization Stream Protocol, as much of it as the REST
//! API carries in Base64 (failures and accumulators). Nothing is ever read here, only written.
//!
//! Class names, fields and `serialVersionUID`s were asked of the classes themselves (Flink 1.18.1, 1.20.3, 2.2.1 on JDK
//! 17: the three agree), and the tests hold whole streams that the real classes wrote.

mod accumulator;
mod classes;
mod failure;
mod stream;

pub use accumulator::int_accumulator;
pub use failure::serialized_throwable;
