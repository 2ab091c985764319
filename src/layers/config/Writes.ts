/**
 * The members of `Config` that write: what the caller says is read once and checked, inside a span that shows it.
 *
 * Implementations supply `write`, which sends a checked request for the current tenant. Keys and options come from
 * callers that no compiler may have checked: what cannot be read or is not declared is refused with a typed error.
 */
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type { ConfigError } from "../../schema/ConfigError.ts"
import type { Assignment, ConfigKey } from "../../schema/ConfigKey.ts"
import type { Entry } from "../../schema/Entry.ts"
import { show } from "../../schema/KeyName.ts"
import * as WriteRequest from "../../schema/WriteRequest.ts"
import type { KeyRegistry } from "../../services/KeyRegistry.ts"
import { failWith, unknownKey } from "../store/ConfigFailure.ts"
import type { Entrance } from "../telemetry/ApplicationCode.ts"
import * as Redaction from "../telemetry/Redaction.ts"

type Request = Result.Result<WriteRequest.WriteRequest, ConfigError>
type Write = (request: Request) => Effect.Effect<ReadonlyArray<Entry<any>>, ConfigError>

export const make = (registry: KeyRegistry["Service"], enter: Entrance, write: Write) => {
  const writing = (
    keys: ReadonlyArray<ConfigKey.Any>,
    given: unknown,
    requestOf: (options: WriteRequest.WriteOptions) => Request,
    withSpan: (actor: string | undefined) => <A>(effect: Effect.Effect<A, ConfigError>) => Effect.Effect<A, ConfigError>
  ) =>
    enter(
      Effect.suspend(() => {
        const undeclared = keys.findIndex((key) => registry.slotOf(key) === undefined)
        if (undeclared >= 0) return failWith(unknownKey(keys[undeclared]!))
        return Effect.flatMap(Effect.fromResult(WriteRequest.optionsOf(given)), (options) =>
          withSpan(WriteRequest.shownActor(options))(Effect.suspend(() => write(requestOf(options))))
        )
      })
    )

  const one = <A>(
    name: "Config.set" | "Config.remove",
    key: ConfigKey<A>,
    given: unknown,
    requestOf: (options: WriteRequest.WriteOptions) => Request
  ): Effect.Effect<Entry<A>, ConfigError> =>
    Effect.map(
      writing([key], given, requestOf, (actor) =>
        Redaction.withSpan(name, { namespace: key.namespace, key: key.key, actor })
      ),
      ([entry]) => entry as Entry<A>
    )

  return {
    set: <A>(key: ConfigKey<A>, value: A, options: WriteRequest.WriteOptions) =>
      one("Config.set", key, options, ({ ifRevision, ...options }) =>
        WriteRequest.ofAssignments([{ key, value, ifRevision }], options)
      ),
    remove: <A>(key: ConfigKey<A>, options: WriteRequest.WriteOptions) =>
      one("Config.remove", key, options, (options) => WriteRequest.ofRemoval(key, options)),
    setAll: (given: ReadonlyArray<Assignment.Any>, options: WriteRequest.WriteAllOptions) =>
      Effect.suspend(() =>
        Effect.flatMap(Effect.fromResult(WriteRequest.assignmentsOf(given)), (assignments) => {
          const keys = assignments.map(({ key }) => key)
          return writing(
            keys,
            options,
            (options) => WriteRequest.ofAssignments(assignments, options),
            (actor) => Redaction.withSpan("Config.setAll", { keys: keys.map(show), actor })
          )
        })
      )
  }
}
