//! Class descriptors, as data.

use crate::throwable::class;

/// What a stream says of a class.
#[derive(Debug)]
pub(super) struct Class {
    pub name: &'static str,
    pub uid: i64,
    pub flags: u8,
    /// Names and type signatures, in the order of the stream: primitives first, each group by name.
    pub fields: &'static [(&'static str, &'static str)],
    /// The nearest superclass that is serializable too.
    pub parent: Option<&'static Class>,
}

impl Class {
    /// The class of a throwable, if it can be written.
    pub fn of_throwable(name: &str) -> Option<&'static Class> {
        let bases = [&EXCEPTION, &RUNTIME_EXCEPTION, &IO_EXCEPTION, &FLINK_EXCEPTION, &CHECKPOINT_EXCEPTION];
        bases.into_iter().chain(DERIVED).find(|class| class.name == name)
    }

    /// A class whose objects are their fields.
    const fn plain(
        name: &'static str,
        uid: i64,
        fields: &'static [(&'static str, &'static str)],
        parent: Option<&'static Class>,
    ) -> Class {
        Class { name, uid, flags: SERIALIZABLE, fields, parent }
    }

    const fn enumeration(name: &'static str, parent: Option<&'static Class>) -> Class {
        Class { name, uid: 0, flags: ENUM, fields: &[], parent }
    }
}

const SERIALIZABLE: u8 = 2;
/// Serializable, and writes more than its fields.
const WRITES_ITSELF: u8 = 3;
const ENUM: u8 = 0x12;

const TEXT: &str = "Ljava/lang/String;";

pub(super) static SERIALIZED_THROWABLE: Class = Class::plain(
    "org.apache.flink.util.SerializedThrowable",
    7_284_183_123_441_947_635,
    &[("fullStringifiedStackTrace", TEXT), ("originalErrorClassName", TEXT), ("serializedException", "[B")],
    Some(&EXCEPTION),
);

static THROWABLE: Class = Class {
    flags: WRITES_ITSELF,
    ..Class::plain(
        "java.lang.Throwable",
        -3_042_686_055_658_047_285,
        &[
            ("cause", "Ljava/lang/Throwable;"),
            ("detailMessage", TEXT),
            ("stackTrace", "[Ljava/lang/StackTraceElement;"),
            ("suppressedExceptions", "Ljava/util/List;"),
        ],
        None,
    )
};

pub(super) static STACK_TRACE: Class =
    Class::plain("[Ljava.lang.StackTraceElement;", 163_864_874_655_228_473, &[], None);

pub(super) static STACK_TRACE_ELEMENT: Class = Class::plain(
    "java.lang.StackTraceElement",
    6_992_337_162_326_171_013,
    &[
        ("format", "B"),
        ("lineNumber", "I"),
        ("classLoaderName", TEXT),
        ("declaringClass", TEXT),
        ("fileName", TEXT),
        ("methodName", TEXT),
        ("moduleName", TEXT),
        ("moduleVersion", TEXT),
    ],
    None,
);

pub(super) static EMPTY_LIST: Class =
    Class::plain("java.util.Collections$EmptyList", 8_842_843_931_221_139_166, &[], None);

pub(super) static BYTES: Class = Class::plain("[B", -5_984_413_125_824_719_648, &[], None);

pub(super) static OPTIONAL_FAILURE: Class = Class {
    flags: WRITES_ITSELF,
    ..Class::plain(
        "org.apache.flink.util.OptionalFailure",
        1,
        &[("failureCause", "Ljava/lang/Throwable;")],
        None,
    )
};

pub(super) static INTEGER: Class =
    Class::plain("java.lang.Integer", 1_360_826_667_806_852_920, &[("value", "I")], Some(&NUMBER));

static NUMBER: Class = Class::plain("java.lang.Number", -8_742_448_824_652_078_965, &[], None);

pub(super) static CHECKPOINT_FAILURE_REASON: Class =
    Class::enumeration("org.apache.flink.runtime.checkpoint.CheckpointFailureReason", Some(&ANY_ENUM));

static ANY_ENUM: Class = Class::enumeration("java.lang.Enum", None);

static EXCEPTION: Class =
    Class::plain("java.lang.Exception", -3_387_516_993_124_229_948, &[], Some(&THROWABLE));

static RUNTIME_EXCEPTION: Class =
    Class::plain("java.lang.RuntimeException", -7_034_897_190_745_766_939, &[], Some(&EXCEPTION));

static IO_EXCEPTION: Class =
    Class::plain("java.io.IOException", 7_818_375_828_146_090_155, &[], Some(&EXCEPTION));

static FLINK_EXCEPTION: Class = Class::plain(class::FLINK, 450_688_772_469_004_724, &[], Some(&EXCEPTION));

static CHECKPOINT_EXCEPTION: Class = Class::plain(
    class::CHECKPOINT,
    3_257_526_119_022_486_948,
    &[("checkpointFailureReason", "Lorg/apache/flink/runtime/checkpoint/CheckpointFailureReason;")],
    Some(&EXCEPTION),
);

/// An exception that adds no fields to those of its parent.
const fn exception(name: &'static str, uid: i64, parent: &'static Class) -> Class {
    Class::plain(name, uid, &[], Some(parent))
}

static DERIVED: &[Class] = &[
    exception(class::FILE_NOT_FOUND, -897_856_973_823_710_492, &IO_EXCEPTION),
    exception(class::FS_SCHEME, 1, &IO_EXCEPTION),
    exception(class::ILLEGAL_ARGUMENT, -5_365_630_128_856_068_164, &RUNTIME_EXCEPTION),
    exception(class::ILLEGAL_STATE, -1_848_914_673_093_119_416, &RUNTIME_EXCEPTION),
    exception(class::NULL_POINTER, 5_162_710_183_389_028_792, &RUNTIME_EXCEPTION),
    exception(class::UNSUPPORTED, -1_242_599_979_055_084_673, &RUNTIME_EXCEPTION),
    exception(class::COMPLETION, 7_830_266_012_832_686_185, &RUNTIME_EXCEPTION),
    exception("java.util.concurrent.TimeoutException", 1_900_926_677_490_660_714, &EXCEPTION),
    exception(class::PROGRAM_INVOCATION, -2_417_524_218_857_151_612, &EXCEPTION),
    exception(class::JOB, 1_275_864_691_743_020_176, &FLINK_EXCEPTION),
    exception(class::JOB_NOT_FOUND, 2_294_698_055_059_659_025, &FLINK_EXCEPTION),
    exception(class::HANDLER_REQUEST, 7_310_878_739_304_006_028, &FLINK_EXCEPTION),
    exception(class::FLINK_RUNTIME, 193_141_189_399_279_147, &RUNTIME_EXCEPTION),
];

/// `CheckpointFailureReason`: the message, and the constant.
pub(super) static CHECKPOINT_FAILURE_REASONS: &[(&str, &str)] = &[
    ("Periodic checkpoint scheduler is shut down.", "PERIODIC_SCHEDULER_SHUTDOWN"),
    ("The maximum number of queued checkpoint requests exceeded", "TOO_MANY_CHECKPOINT_REQUESTS"),
    (
        "The minimum time between checkpoints is still pending. Checkpoint will be triggered after the minimum time.",
        "MINIMUM_TIME_BETWEEN_CHECKPOINTS",
    ),
    ("Not all required tasks are currently running.", "NOT_ALL_REQUIRED_TASKS_RUNNING"),
    ("An Exception occurred while triggering the checkpoint. IO-problem detected.", "IO_EXCEPTION"),
    ("Asynchronous task checkpoint failed.", "CHECKPOINT_ASYNC_EXCEPTION"),
    (
        "The checkpoint was aborted due to exception of other subtasks sharing the ChannelState file.",
        "CHANNEL_STATE_SHARED_STREAM_EXCEPTION",
    ),
    ("Checkpoint expired before completing.", "CHECKPOINT_EXPIRED"),
    ("Checkpoint has been subsumed.", "CHECKPOINT_SUBSUMED"),
    ("Checkpoint was declined.", "CHECKPOINT_DECLINED"),
    ("Checkpoint was declined (tasks not ready)", "CHECKPOINT_DECLINED_TASK_NOT_READY"),
    ("Checkpoint was declined (task is closing)", "CHECKPOINT_DECLINED_TASK_CLOSING"),
    (
        "Checkpoint was canceled because a barrier from newer checkpoint was received.",
        "CHECKPOINT_DECLINED_SUBSUMED",
    ),
    ("Task received cancellation from one of its inputs", "CHECKPOINT_DECLINED_ON_CANCELLATION_BARRIER"),
    (
        "Checkpoint was declined because one input stream is finished",
        "CHECKPOINT_DECLINED_INPUT_END_OF_STREAM",
    ),
    ("CheckpointCoordinator shutdown.", "CHECKPOINT_COORDINATOR_SHUTDOWN"),
    ("Checkpoint Coordinator is suspending.", "CHECKPOINT_COORDINATOR_SUSPEND"),
    ("FailoverRegion is restarting.", "JOB_FAILOVER_REGION"),
    ("Task has failed.", "TASK_FAILURE"),
    ("Task local checkpoint failure.", "TASK_CHECKPOINT_FAILURE"),
    ("Unknown task for the checkpoint to notify.", "UNKNOWN_TASK_CHECKPOINT_NOTIFICATION_FAILURE"),
    ("Failure to finalize checkpoint.", "FINALIZE_CHECKPOINT_FAILURE"),
    ("Trigger checkpoint failure.", "TRIGGER_CHECKPOINT_FAILURE"),
];
