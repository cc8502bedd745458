package toys;

import io.fabric8.kubernetes.api.model.ConfigMap;
import io.fabric8.kubernetes.api.model.ConfigMapBuilder;
import io.fabric8.kubernetes.api.model.apps.Deployment;
import io.fabric8.kubernetes.api.model.apps.DeploymentBuilder;
import io.fabric8.kubernetes.api.model.events.v1.EventBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.readiness.Readiness;
import io.javaoperatorsdk.operator.Operator;
import io.javaoperatorsdk.operator.api.config.LeaderElectionConfiguration;
import io.javaoperatorsdk.operator.api.config.informer.InformerEventSourceConfiguration;
import io.javaoperatorsdk.operator.api.reconciler.Cleaner;
import io.javaoperatorsdk.operator.api.reconciler.Context;
import io.javaoperatorsdk.operator.api.reconciler.ControllerConfiguration;
import io.javaoperatorsdk.operator.api.reconciler.DeleteControl;
import io.javaoperatorsdk.operator.api.reconciler.EventSourceContext;
import io.javaoperatorsdk.operator.api.reconciler.Reconciler;
import io.javaoperatorsdk.operator.api.reconciler.UpdateControl;
import io.javaoperatorsdk.operator.processing.event.source.EventSource;
import io.javaoperatorsdk.operator.processing.event.source.informer.InformerEventSource;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.Map;

/** For each Shop a ConfigMap, applied by the server, and a Deployment by a plain update; both are watched. */
public class Main {
  public static void main(String[] args) {
    KubernetesClient client = new KubernetesClientBuilder().build();
    Operator operator =
        new Operator(
            o ->
                o.withKubernetesClient(client)
                    .withLeaderElectionConfiguration(new LeaderElectionConfiguration("shop-operator", "default")));
    operator.register(new Shops());
    operator.start();
  }

  @ControllerConfiguration
  public static class Shops implements Reconciler<Shop>, Cleaner<Shop> {
    @Override
    public List<EventSource<?, Shop>> prepareEventSources(EventSourceContext<Shop> context) {
      return List.of(
          new InformerEventSource<>(InformerEventSourceConfiguration.from(ConfigMap.class, Shop.class).build(), context),
          new InformerEventSource<>(InformerEventSourceConfiguration.from(Deployment.class, Shop.class).build(), context));
    }

    @Override
    public UpdateControl<Shop> reconcile(Shop shop, Context<Shop> context) {
      KubernetesClient client = context.getClient();
      String name = shop.getMetadata().getName();
      String namespace = shop.getMetadata().getNamespace();
      ConfigMap page =
          new ConfigMapBuilder()
              .withNewMetadata().withName(name).withNamespace(namespace).endMetadata()
              .withData(Map.of("text", shop.getSpec().text))
              .build();
      page.addOwnerReference(shop);
      client.resource(page).fieldManager("shops").forceConflicts().serverSideApply();

      Deployment deployment = context.getSecondaryResource(Deployment.class).orElse(null);
      if (deployment == null) {
        Deployment made =
            new DeploymentBuilder()
                .withNewMetadata().withName(name).withNamespace(namespace).endMetadata()
                .withNewSpec()
                .withReplicas(shop.getSpec().replicas)
                .withNewSelector().addToMatchLabels("shop", name).endSelector()
                .withNewTemplate()
                .withNewMetadata().addToLabels("shop", name).endMetadata()
                .withNewSpec().addNewContainer().withName("c").withImage("busybox:1").endContainer().endSpec()
                .endTemplate()
                .endSpec()
                .build();
        made.addOwnerReference(shop);
        client.resource(made).create();
        tell(client, shop, "Opened", "the shop is open");
      } else if (deployment.getSpec().getReplicas() != shop.getSpec().replicas) {
        client.apps().deployments().inNamespace(namespace).withName(name).scale(shop.getSpec().replicas);
      }

      Shop.Status status = new Shop.Status();
      status.observedGeneration = shop.getMetadata().getGeneration();
      status.text = shop.getSpec().text;
      boolean ready = deployment != null && Readiness.getInstance().isReady(deployment);
      status.ready = ready ? deployment.getStatus().getReadyReplicas() : 0;
      shop.setStatus(status);
      return UpdateControl.patchStatus(shop);
    }

    @Override
    public DeleteControl cleanup(Shop shop, Context<Shop> context) {
      tell(context.getClient(), shop, "Closed", "the shop is closed");
      return DeleteControl.defaultDelete();
    }

    private static void tell(KubernetesClient client, Shop shop, String reason, String note) {
      String now = ZonedDateTime.now(ZoneOffset.UTC).format(DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"));
      client
          .resource(
              new EventBuilder()
                  .withNewMetadata()
                  .withGenerateName(shop.getMetadata().getName() + "-")
                  .withNamespace(shop.getMetadata().getNamespace())
                  .endMetadata()
                  .withNewEventTime(now)
                  .withReportingController("toys.example.com/shops")
                  .withReportingInstance("shops-0")
                  .withAction("Reconcile")
                  .withReason(reason)
                  .withType("Normal")
                  .withNote(note)
                  .withNewRegarding()
                  .withApiVersion(shop.getApiVersion())
                  .withKind(shop.getKind())
                  .withName(shop.getMetadata().getName())
                  .withNamespace(shop.getMetadata().getNamespace())
                  .withUid(shop.getMetadata().getUid())
                  .endRegarding()
                  .build())
          .create();
    }
  }
}
