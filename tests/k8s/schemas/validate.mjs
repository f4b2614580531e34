// Reads objects as a JSON list; writes one line for each that has a schema here: its kind, its name, and what is
// wrong with it, if anything.
import { readFileSync } from "node:fs";

const packages = {
  "cert-manager.io/v1": "@kubernetes-models/cert-manager/cert-manager.io/v1",
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
  "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
};

for (const one of JSON.parse(readFileSync(0, "utf8"))) {
  const from = packages[one.apiVersion];
  if (!from) continue;
  const { [one.kind]: Kind } = await import(`${from}/${one.kind}`);
  let wrong = "";
  try {
    new Kind(one).validate();
  } catch (error) {
    wrong = error.message;
  }
  console.log(`${one.kind} ${one.metadata.name}: ${wrong || "fits"}`);
}
