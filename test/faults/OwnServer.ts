/** A server that a test may stop, crash and replace. It takes a second to start, so those who can, share one. */
import { Context, Layer } from "effect"
import * as PostgresServer from "../../dev/PostgresServer.ts"

export class OwnServer extends Context.Service<OwnServer, PostgresServer.PostgresServer>()("test/faults/OwnServer") {
  static readonly layer = Layer.effect(OwnServer, PostgresServer.make)
}
