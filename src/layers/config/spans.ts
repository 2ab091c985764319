/**
 * The spans of writes.
 */
import type { Assignment, ConfigKey } from "../../schema/ConfigKey.ts"
import { show } from "../../schema/KeyName.ts"
import * as Redaction from "../telemetry/Redaction.ts"

/** The span of a write of one key. */
export const writeSpan = (name: "Config.set" | "Config.remove", { key, namespace }: ConfigKey.Any, actor: string) =>
  Redaction.withSpan(name, { namespace, key, actor })

/** The span of a write of several keys. */
export const writesSpan = (assignments: ReadonlyArray<Assignment.Any>, actor: string) =>
  Redaction.withSpan("Config.setAll", { keys: assignments.map(({ key }) => show(key)), actor })
