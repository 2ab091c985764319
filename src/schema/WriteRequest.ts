/**
 * What is to be written: checked and encoded before anything is sent.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { ConfigError, InvalidValue } from "./ConfigError.ts"
import type { Assignment, ConfigKey } from "./ConfigKey.ts"
import * as JsonText from "./JsonText.ts"

/** A value to be written, already encoded. */
export interface CacheWrite {
  readonly key: ConfigKey.Any
  /** The value as JSON text. */
  readonly json: string
  /** Write only over this revision; 0: only where there is no row. */
  readonly ifRevision?: number | undefined
}

/** Encodes assignments; `InvalidValue` names every one that is refused, and why, without its value. */
export const encodeAll = (
  assignments: ReadonlyArray<Assignment.Any>,
  actor: string
): Result.Result<ReadonlyArray<CacheWrite>, ConfigError> => {
  const writes: Array<CacheWrite> = []
  const problems: Array<Problem> = []
  for (const { ifRevision, key, value } of assignments) {
    const json = encodeText(key, value)
    const problem = actorProblem(actor) ?? revisionProblem(ifRevision)
    if (problem !== undefined) problems.push(problemOf(key, problem))
    else if (Result.isFailure(json)) problems.push(problemOf(key, json.failure))
    else if (writes.some((write) => write.key === key)) problems.push(problemOf(key, "it is given twice"))
    else writes.push({ key, json: json.success, ifRevision })
  }
  return problems.length > 0 ? refuse(problems) : Result.succeed(writes)
}

/** Checks who deletes a row, and what revision is expected of it. */
export const checkRemoval = (
  key: ConfigKey.Any,
  actor: string,
  ifRevision: number | undefined
): Result.Result<void, ConfigError> => {
  const problem = actorProblem(actor) ?? revisionProblem(ifRevision)
  return problem === undefined ? Result.succeed(undefined) : refuse([problemOf(key, problem)])
}

/** A value in force as JSON, for tools. */
export const encode = <A>(key: ConfigKey<A>, value: A): Result.Result<JsonText.Json, ConfigError> =>
  Result.mapError(key.encode(value), (problem) => refused([problemOf(key, problem)]))

type Problem = InvalidValue["problems"][number]

const problemOf = ({ key, namespace }: ConfigKey.Any, problem: string): Problem => ({ namespace, key, problem })

const refused = (problems: ReadonlyArray<Problem>) => new ConfigError({ reason: new InvalidValue({ problems }) })

const refuse = (problems: ReadonlyArray<Problem>) => Result.fail(refused(problems))

const encodeText = <A>(key: ConfigKey<A>, value: A): Result.Result<string, string> =>
  Result.flatMap(key.encode(value), (json) =>
    Result.mapError(JsonText.encode(json), (problem) => (key.secret ? "jsonb cannot hold it" : problem))
  )

const actorProblem = (actor: string): string | undefined =>
  typeof actor === "string" && Result.isSuccess(JsonText.encode(actor))
    ? undefined
    : "the actor must be well-formed text without U+0000"

const revisionProblem = (ifRevision: number | undefined): string | undefined =>
  ifRevision === undefined || (Number.isSafeInteger(ifRevision) && ifRevision >= 0)
    ? undefined
    : "ifRevision must be a whole number, 0 or more"
