// Publishes three events of a call, one of them bad, and says what became of each.
//
//   TOUCHLEDGER_KEY=... node publish.mjs [HOST:PORT]
//
// TOUCHLEDGER_CA_FILE, a PEM file, turns TLS on; without it the key goes in clear text, which is for the
// gateway on this machine alone.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../protos", import.meta.url));
// A commit takes milliseconds; a call that takes this long has lost its server.
const CALL_MS_MAX = 30_000;

// Safe for every call here: an event that is stored already is answered DUPLICATE.
const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{ service: "touchledger.v1.IngestService" }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.2s",
        maxBackoff: "5s",
        backoffMultiplier: 3,
        retryableStatusCodes: ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
      },
    },
  ],
};

function connect(target) {
  const definition = protoLoader.loadSync("touchledger/v1/ingest.proto", {
    includeDirs: [PROTOS],
    enums: String, // names rather than numbers
    longs: String, // a position may be more than a JavaScript number holds exactly
    defaults: true,
  });
  const { IngestService } = grpc.loadPackageDefinition(definition).touchledger.v1;
  const caFile = process.env.TOUCHLEDGER_CA_FILE;
  const credentials = caFile
    ? grpc.credentials.createSsl(readFileSync(caFile))
    : grpc.credentials.createInsecure();
  return new IngestService(target, credentials, {
    "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
  });
}

function publishBatch(service, key, events) {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  const request = { events, attempt: { sentAt: timestamp(new Date()) } };
  const deadline = new Date(Date.now() + CALL_MS_MAX);
  return new Promise((resolve, reject) => {
    service.publishBatch(request, metadata, { deadline }, (error, answer) =>
      error ? reject(error) : resolve(answer.results),
    );
  });
}

function timestamp(date) {
  const ms = date.getTime();
  return { seconds: Math.floor(ms / 1000), nanos: (((ms % 1000) + 1000) % 1000) * 1_000_000 };
}

// A call, the question after it, and an answer that is outside of its own scale.
function eventsOfACall(callId, endedAt) {
  const common = { touchpoint: "call.billing", customer: "customer 17", correlationId: callId };
  const about = { stage: "STAGE_SERVICE", channel: "CHANNEL_PHONE" };
  const oneToFive = { scaleMin: "1", scaleMax: "5", direction: "DIRECTION_HIGHER_IS_BETTER" };
  return [
    {
      ...common,
      // Made once and kept: who repeats an event repeats it with its id.
      eventId: `${callId}-ended`,
      occurredAt: timestamp(endedAt),
      interaction: { ...about, outcome: "OUTCOME_RESOLVED", duration: { seconds: 251 } },
    },
    {
      ...common,
      eventId: `${callId}-asked`,
      occurredAt: timestamp(endedAt),
      feedbackRequested: { ...about, askedVia: "CHANNEL_PHONE", survey: "after-call/1" },
    },
    {
      ...common,
      eventId: `${callId}-answered`,
      occurredAt: timestamp(endedAt),
      feedbackReceived: {
        ...about,
        requestId: `${callId}-asked`,
        signals: [{ metric: "METRIC_CSAT", value: "9", ...oneToFive }],
      },
    },
  ];
}

const key = (process.env.TOUCHLEDGER_KEY ?? "").trim();
if (!key) {
  console.error("TOUCHLEDGER_KEY: got nothing, want an API key");
  process.exit(2);
}
const service = connect(process.argv[2] ?? "127.0.0.1:50051");
try {
  const events = eventsOfACall(`call-${randomUUID()}`, new Date());
  const results = await publishBatch(service, key, events);
  results.forEach(({ disposition, position, problem }, index) => {
    const told = problem
      ? `${problem.code}: ${problem.field}: got ${problem.got}, want ${problem.want}`
      : `position ${position.number}`;
    console.log(`${events[index].eventId} ${disposition.replace("DISPOSITION_", "")} ${told}`);
  });
} catch (error) {
  // Nothing is known to be stored: the same events can be published again.
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  process.exitCode = 1;
} finally {
  service.close();
}
