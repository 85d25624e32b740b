// The contracts are read when the client starts: nothing is generated.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const protos = fileURLToPath(new URL("../../protos", import.meta.url));
const files = ["headgate/router/v1/router_service.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"];
const loaded = loadSync(files, { includeDirs: [protos], longs: String, defaults: true, oneofs: true });
const { google, headgate } = grpc.loadPackageDefinition(loaded);

export const { ErrorInfo, RetryInfo, Status } = google.rpc;
export const router = new headgate.router.v1.RouterService(process.argv[2], grpc.credentials.createInsecure());
export const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.KEY}`);
export const request = { model: "fast", prompt: "Why is the sky blue?" };
