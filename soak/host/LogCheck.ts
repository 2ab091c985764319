/**
 * Checks every log line of a host: none may hold a value, and none may report a defect. `SOAK_LOG` names a file to keep
 * them in.
 */
import { appendFileSync } from "node:fs"
import { Effect, Logger } from "effect"
import { badMark } from "../Keys.ts"
import * as Recorder from "../workload/Recorder.ts"

export const make = (host: string, recorder: Recorder.Recorder) =>
  Logger.map(Logger.formatLogFmt, (line) => {
    if (process.env.SOAK_LOG !== undefined) appendFileSync(process.env.SOAK_LOG, `${line}\n`)
    const report = (check: string) => Effect.runSync(Recorder.broken(recorder, host, check, line))
    if (line.includes(badMark)) report("brokeBadRows")
    if (line.includes("unexpectedly")) report("brokeCalm")
  })
