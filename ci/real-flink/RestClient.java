import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.api.common.JobID;
import org.apache.flink.client.program.rest.RestClusterClient;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.core.execution.CheckpointType;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.jobgraph.IntermediateDataSetID;
import org.apache.flink.runtime.jobgraph.JobResourceRequirements;
import org.apache.flink.runtime.jobgraph.JobVertexID;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.util.AbstractID;

/**
 * What Flink's own {@code RestClusterClient} can ask, asked of a session cluster: each answer must be read by the client's own
 * classes and look as expected. Arguments: port, id of an uploaded conformance jar, a folder for savepoints.
 */
public class RestClient {
    private static int done;
    private static int wrong;
    private static int port;
    private static String jar;

    public static void main(String[] args) throws Exception {
        port = Integer.parseInt(args[0]);
        jar = args[1];
        String folder = args[2];
        Configuration conf = new Configuration();
        conf.set(RestOptions.ADDRESS, "127.0.0.1");
        conf.set(RestOptions.PORT, port);
        try (RestClusterClient<String> client = new RestClusterClient<>(conf, "session")) {
            says("address", "http://127.0.0.1:" + port, client::getWebInterfaceURL);
            JobID job = run("");
            running(client, job);
            says("jobs", job + " RUNNING", () -> client.listJobs().thenApply(
                    all -> all.stream().map(one -> one.getJobId() + " " + one.getJobState()).toList()));
            says("status", "^RUNNING$", () -> client.getJobStatus(job));
            says("details", "count -> out: Writer", () -> client.getJobDetails(job).thenApply(
                    details -> details.getJobVertexInfos().stream().map(v -> v.getName()).toList()));
            says("accumulators", "^\\{(records=\\d+)?\\}$", () -> client.getAccumulators(job));
            says("checkpoint", "^\\d+$", () -> client.triggerCheckpoint(job, CheckpointType.DEFAULT));
            String path = says("savepoint", "savepoint-", () ->
                    client.triggerSavepoint(job, folder, SavepointFormatType.CANONICAL));
            says("savepoint, not waited for", "^[0-9a-f]{32}$", () ->
                    client.triggerDetachedSavepoint(job, folder, SavepointFormatType.NATIVE));
            says("savepoint that fails", "Failed to create savepoint directory", () ->
                    client.triggerSavepoint(job, "file:///proc/nope", SavepointFormatType.CANONICAL));
            JobResourceRequirements.Builder bounds = JobResourceRequirements.newBuilder();
            client.getJobDetails(job).get(10, TimeUnit.SECONDS).getJobVertexInfos()
                    .forEach(v -> bounds.setParallelismForJobVertex(v.getJobVertexID(), 1, 1));
            says("requirements", "DefaultScheduler does not support", () ->
                    client.updateJobResourceRequirements(job, bounds.build()));
            says("requirements of no vertex", "was not found in the JobGraph", () ->
                    client.updateJobResourceRequirements(job, JobResourceRequirements.newBuilder()
                            .setParallelismForJobVertex(new JobVertexID(), 1, 1).build()));
            says("heartbeat", "^null$", () -> {
                client.reportHeartbeat(job, 1L);
                return null;
            });
            says("stop", "savepoint-", () ->
                    client.stopWithSavepoint(job, false, folder, SavepointFormatType.CANONICAL));
            says("result, stopped", "^SUCCEEDED records=\\d+", () -> result(client, job));
            says("disposal", "Acknowledge", () -> client.disposeSavepoint(path));
            says("disposal of none", "Cannot find checkpoint or savepoint", () -> client.disposeSavepoint(path));

            JobID ends = run("\"--records\",\"25\"");
            says("result, at its end", "^SUCCEEDED records=25", () -> result(client, ends));
            JobID fails = run("\"--fail-at\",\"3\"");
            says("result, failed", "^FAILED .*deliberate failure", () -> result(client, fails));
            JobID drained = run("");
            running(client, drained);
            says("stop, drained", "^[0-9a-f]{32}$", () ->
                    client.stopWithDetachedSavepoint(drained, true, folder, SavepointFormatType.DEFAULT));
            says("result, drained", "^SUCCEEDED", () -> result(client, drained));
            JobID left = run("");
            running(client, left);
            says("cancel with savepoint", "savepoint-", () ->
                    client.cancelWithSavepoint(left, folder, SavepointFormatType.DEFAULT));
            says("result, cancelled", "^CANCELED", () -> result(client, left));
            JobID last = run("");
            running(client, last);
            says("cancel", "Acknowledge", () -> client.cancel(last));
            JobID none = new JobID();
            says("status of none", "Job " + none + " not found|Could not find Flink job", () -> client.getJobStatus(none));
            says("cancel of none", "Could not find Flink job|not found", () -> client.cancel(none));
            says("result of none", "not found|Could not find Flink job", () -> result(client, none));
            says("data sets", "^\\[\\]$", client::listCompletedClusterDatasetIds);
            says("data set of none", ".", () -> client.invalidateClusterDataset(new AbstractID(new IntermediateDataSetID())));
            says("shutdown", "^null$", () -> {
                client.shutDownCluster();
                return null;
            });
        }
        System.out.println("RestClusterClient: " + done + " questions as on a real cluster, " + wrong + " not");
        System.exit(wrong == 0 && done > 0 ? 0 : 1);
    }

    private static String result(RestClusterClient<String> client, JobID job) throws Exception {
        JobResult result = client.requestJobResult(job).get(60, TimeUnit.SECONDS);
        Optional<String> failure = result.getSerializedThrowable().map(t -> causes(t.deserializeError(RestClient.class.getClassLoader())));
        String accumulators = result.getAccumulatorResults().keySet().stream()
                .map(name -> {
                    try {
                        return name + "=" + result.getAccumulatorResults().get(name)
                                .deserializeValue(RestClient.class.getClassLoader()).getUnchecked();
                    } catch (Exception e) {
                        return name + " unreadable: " + e;
                    }
                }).reduce("", (a, b) -> a + b);
        return result.getApplicationStatus() + " " + accumulators + failure.orElse("");
    }

    private static JobID run(String args) throws Exception {
        String body = "{\"parallelism\":1,\"programArgsList\":[" + args + "]}";
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/jars/" + jar + "/run"))
                .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body)).build();
        String said = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
        Matcher id = Pattern.compile("[0-9a-f]{32}").matcher(said);
        if (!id.find()) {
            throw new IllegalStateException("run was answered " + said);
        }
        return JobID.fromHexString(id.group());
    }

    /** Until every task runs: a savepoint before is refused. */
    private static void running(RestClusterClient<String> client, JobID job) throws Exception {
        for (int i = 0; i < 300; i++) {
            boolean all = client.getJobDetails(job).get(10, TimeUnit.SECONDS).getJobVertexInfos().stream()
                    .allMatch(v -> v.getExecutionState().name().equals("RUNNING"));
            if (all) {
                return;
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("job " + job + " does not run");
    }

    private static String says(String name, String pattern, Callable<Object> question) {
        String said;
        try {
            Object answer = question.call();
            said = String.valueOf(answer instanceof CompletableFuture<?> f ? f.get(60, TimeUnit.SECONDS) : answer);
        } catch (Throwable t) {
            said = causes(t);
        }
        if (Pattern.compile(pattern, Pattern.DOTALL).matcher(said).find()) {
            done++;
        } else {
            wrong++;
            System.err.println(name + ": no " + pattern + " in: " + said);
        }
        return said;
    }

    private static String causes(Throwable t) {
        StringBuilder all = new StringBuilder();
        for (int depth = 0; t != null && depth < 20; t = t.getCause(), depth++) {
            all.append(t).append('\n');
        }
        return all.toString();
    }
}
