/**
 * Values of the past as they are written today.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import * as JsonText from "../../schema/JsonText.ts"
import { idOf } from "../../schema/KeyName.ts"
import { type ChangeHistoryError, NoLongerValid, ValueNotKept } from "../../schema/operator/ChangeHistoryError.ts"
import type { ChangeRecord } from "../../schema/operator/ChangeRecord.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { failWith } from "./HistoryFailure.ts"

/** The first and the last record that a change has of each key: what was before it, and what it left. */
export const spansOf = (records: ReadonlyArray<ChangeRecord>) => {
  const spans = new Map<string, { readonly first: ChangeRecord; last: ChangeRecord }>()
  for (const record of records) {
    const name = idOf(record)
    const span = spans.get(name)
    if (span === undefined) spans.set(name, { first: record, last: record })
    else span.last = record
  }
  return [...spans.values()]
}

interface Past {
  readonly key: ConfigKey.Any
  readonly revision: number
  readonly redacted: boolean
  /** `undefined` if there was no row. */
  readonly value: Schema.Json | undefined
}

/**
 * Values of the past as they are written today: `undefined` deletes the row. Nothing at all if one of them may not be
 * written.
 */
export const textOf = (
  tenant: TenantId,
  past: ReadonlyArray<Past>
): Effect.Effect<ReadonlyArray<string | undefined>, ChangeHistoryError> => {
  const problems: Array<NoLongerValid["problems"][number]> = []
  const texts: Array<string | undefined> = []
  for (const { key, redacted, revision, value } of past) {
    if (revision === 0) {
      texts.push(undefined)
      continue
    }
    if (redacted || value === undefined) {
      return failWith(new ValueNotKept({ tenant, namespace: key.namespace, key: key.key, revision }))
    }
    const text = Result.flatMap(Result.flatMap(key.decode(value), key.encode), JsonText.encode)
    if (Result.isSuccess(text)) texts.push(text.success)
    else problems.push({ namespace: key.namespace, key: key.key, revision, problem: text.failure })
  }
  return problems.length > 0 ? failWith(new NoLongerValid({ tenant, problems })) : Effect.succeed(texts)
}
