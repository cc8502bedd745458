//! Wire types of the flink.apache.org/v1beta1 custom resources and their CRDs.
