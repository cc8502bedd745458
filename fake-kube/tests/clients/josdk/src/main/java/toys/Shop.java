package toys;

import io.fabric8.kubernetes.api.model.Namespaced;
import io.fabric8.kubernetes.client.CustomResource;
import io.fabric8.kubernetes.model.annotation.Group;
import io.fabric8.kubernetes.model.annotation.Version;

@Group("toys.example.com")
@Version("v1")
public class Shop extends CustomResource<Shop.Spec, Shop.Status> implements Namespaced {
  public static class Spec {
    public String text;
    public int replicas;
  }

  public static class Status {
    public Long observedGeneration;
    public String text;
    public Integer ready;
  }
}
