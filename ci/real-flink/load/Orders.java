package load;

import java.time.Duration;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.co.KeyedCoProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.windowing.assigners.TumblingProcessingTimeWindows;
import org.apache.flink.util.Collector;

/**
 * A job of the size people run, for ci/load-flink: nine vertices, of which three read, two join, one windows and three write.
 * What fake-flink is told of it stands in orders.yaml beside this file.
 */
public class Orders {
    public static void main(String[] args) throws Exception {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        DataStream<Long> orders = source(env, "orders");
        DataStream<Long> customers = source(env, "customers");
        DataStream<Long> rates = source(env, "rates");
        DataStream<Long> once = named(orders.keyBy(Orders::key).map(new Last()), "deduplicate");
        DataStream<Long> known = named(once.connect(customers).keyBy(Orders::key, Orders::key).process(new Join()), "enrich");
        DataStream<Long> priced = named(known.connect(rates).keyBy(Orders::key, Orders::key).process(new Join()), "convert");
        sink(named(priced.keyBy(Orders::key).map(new Last()), "watch"), "alerts");
        sink(named(priced.keyBy(Orders::key).window(TumblingProcessingTimeWindows.of(Duration.ofSeconds(10))).reduce(Math::max),
                "totals"), "warehouse");
        sink(named(priced.rebalance().map(x -> x + 1), "format"), "archive");
        env.execute("orders");
    }

    private static long key(Long x) {
        return x % 64;
    }

    /** Fifty records per second and subtask. */
    private static DataStream<Long> source(StreamExecutionEnvironment env, String name) {
        return named(env.fromSequence(1, Long.MAX_VALUE).name(name).uid(name).map(x -> {
            Thread.sleep(20);
            return x;
        }), "read " + name);
    }

    private static <T> SingleOutputStreamOperator<T> named(SingleOutputStreamOperator<T> operator, String name) {
        return operator.name(name).uid(name);
    }

    private static void sink(DataStream<Long> from, String name) {
        from.sinkTo(new DiscardingSink<>()).name(name).uid(name);
    }

    /** Remembers the newest record of each key. */
    static class Last extends RichMapFunction<Long, Long> {
        @Override
        public Long map(Long x) throws Exception {
            ValueState<Long> last = getRuntimeContext().getState(new ValueStateDescriptor<>("last", Long.class));
            last.update(x);
            return x;
        }
    }

    /** Records of the first input go on, the second is looked at. */
    static class Join extends KeyedCoProcessFunction<Long, Long, Long, Long> {
        @Override
        public void processElement1(Long x, Context context, Collector<Long> out) {
            out.collect(x);
        }

        @Override
        public void processElement2(Long x, Context context, Collector<Long> out) {
        }
    }
}
