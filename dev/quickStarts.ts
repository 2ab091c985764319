/**
 * Runs the quick starts of README.md and docs/ as a newcomer does: from an empty directory, with the packed package,
 * block by block.
 *
 * A quick start is a chain of blocks in a page. The comment before a block says what a reader does with it:
 *
 * ```
 * <!-- quick start embedded: run -->                                   runs the shell block, and waits for it
 * <!-- quick start embedded: run, prints "1200" -->                    runs it, and looks for the text in what it printed
 * <!-- quick start embedded: file main.ts -->                          writes the block to a file
 * <!-- quick start embedded: start, until "is live" -->                starts the block in a terminal, until it prints this
 * <!-- quick start embedded: run, until "600 → 100" everywhere -->     runs it, then waits for the text in all terminals in which the
 *                                                                      block that was started last runs
 * <!-- run by .ci/run -->                                              CI runs each of its lines in the checkout
 * <!-- not run: why -->                                                leaves the block to the reader
 * ```
 *
 * `node dev/quickStarts.ts [--node 22.19.0] [name …]` runs them. Nothing is replaced in the blocks but the name of the
 * package to install, which becomes the packed file. `own-server` runs on a throw-away server of ours, and is left out
 * if `psql` is not installed; `checkout` runs in the checkout itself. Everything it starts is ended, and everything it
 * writes removed.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { chmodSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { Effect, Redacted } from "effect"
import * as PostgresServer from "./PostgresServer.ts"

const root = fileURLToPath(new URL("../", import.meta.url))

/** A block of the README, and what a reader does with it. */
export interface Step {
  readonly quickStart: string
  readonly act: "run" | "file" | "start"
  /** The file that the block is written to. */
  readonly path: string | undefined
  /** What has to be printed before the next step. */
  readonly until: string | undefined
  /** What the block itself has to print. */
  readonly prints: string | undefined
  readonly code: string
}

const block =
  /<!-- quick start (\S+): (run|file|start)(?: (\S+?))?(?:, until "([^"]+)"(?: everywhere)?)?(?:, prints "([^"]+)")? -->\n```\w+\n([\s\S]*?)\n```/g

/** The steps of all quick starts in a text, in their order. */
export const stepsOf = (text: string): ReadonlyArray<Step> =>
  [...text.matchAll(block)].flatMap(([, quickStarts, act, path, until, prints, code]) =>
    quickStarts!
      .split(",")
      .map((quickStart) => ({ quickStart, act: act as Step["act"], path, until, prints, code: code! }))
  )

/** The pages whose shell blocks are run. */
export const pages: ReadonlyArray<string> = [
  "README.md",
  "CONTRIBUTING.md",
  "bench/README.md",
  ...globSync("docs/*.md", { cwd: root }).sort()
]

/**
 * The shell blocks of a page of which no comment says how they are run, or why they are not; `ci` is the script of CI.
 */
export const unaccounted = (text: string, ci: string): ReadonlyArray<string> =>
  [...text.matchAll(/(.*)\n```(\w*)\n([\s\S]*?)\n```$/gm)]
    .filter(([, comment, language, code]) => {
      if (!["", "sh", "bash", "shell", "console"].includes(language!)) return false
      if (/^<!-- (?:quick start|not run: \w)/.test(comment!)) return false
      if (comment !== "<!-- run by .ci/run -->") return true
      const commands = code!.split("\n").map((line) => line.replace(/ +#.*/, ""))
      return commands.some((command) => !ci.split("\n").includes(command))
    })
    .map(([, , , code]) => code!)

/** How long a step may take: an installation on a slow line, a first start of a server. */
const patience = 300_000

/** A terminal of its own: a shell whose output can be waited for. */
const open = (cwd: string, env: NodeJS.ProcessEnv) => (code: string) => {
  const shell = spawn("bash", ["-euo", "pipefail", "-c", code], { cwd, env, detached: true })
  let printed = ""
  let waiting: (() => void) | undefined
  const heard = (chunk: Buffer) => {
    printed += chunk
    waiting?.()
  }
  shell.stdout.on("data", heard)
  shell.stderr.on("data", heard)
  const ended = new Promise<number | null>((resolve) => shell.on("close", resolve))
  const until = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${why} before it printed "${text}". It printed:\n${printed}`))
      const timer = setTimeout(() => fail("the time was up"), patience)
      waiting = () => {
        if (!printed.includes(text)) return
        clearTimeout(timer)
        printed = printed.slice(printed.indexOf(text) + text.length)
        resolve()
      }
      waiting()
      void ended.then(() => fail("it ended"))
    })
  return {
    until,
    succeeded: async () => {
      const code = await ended
      if (code !== 0) throw new Error(`it ended with ${code}:\n${printed}`)
      return printed
    },
    /** Ctrl-C: the signal goes to everything that the shell started. */
    interrupt: async () => {
      if (shell.pid !== undefined && shell.exitCode === null) process.kill(-shell.pid, "SIGINT")
      await ended
    }
  }
}

type Terminal = ReturnType<ReturnType<typeof open>>

const run = async (steps: ReadonlyArray<Step>, tarball: string, env: NodeJS.ProcessEnv) => {
  const temporary = mkdtempSync(join(tmpdir(), "systemplane-quick-start-"))
  // As `mkdir` makes one: a server that root starts runs as another user.
  chmodSync(temporary, 0o755)
  const directory = steps[0]?.quickStart === "checkout" ? root : temporary
  const terminal = open(directory, { ...env, SYSTEMPLANE_TARBALL: tarball })
  const started: Array<{ readonly code: string; readonly shell: Terminal }> = []
  try {
    for (const { act, code, path, prints, until } of steps) {
      console.log(`  ${act === "file" ? `write ${path}` : code.split("\n")[0]}`)
      if (act === "file") {
        const file = join(directory, path!)
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, `${code}\n`)
        continue
      }
      // The package is not published yet, and the one to try is this one.
      const shell = terminal(code.replaceAll(/(npm install (?:\S+ )*?)effect-systemplane(?= |$)/gm, `$1${tarball}`))
      if (act === "start") {
        started.push({ code, shell })
        await shell.until(until!)
        continue
      }
      const printed = await shell.succeeded()
      if (prints !== undefined && !printed.includes(prints))
        throw new Error(`it did not print "${prints}":\n${printed}`)
      if (until === undefined) continue
      const newest = started.at(-1)!.code
      await Promise.all(started.map(({ code, shell }) => (code === newest ? shell.until(until) : undefined)))
    }
  } finally {
    for (const { shell } of started.reverse()) await shell.interrupt()
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** A directory with another Node in `bin`, installed from the registry. */
const nodeOf = (version: string): { readonly bin: string; readonly remove: () => void } => {
  const directory = mkdtempSync(join(tmpdir(), "systemplane-node-"))
  execFileSync("npm", ["init", "-y"], { cwd: directory, stdio: "ignore" })
  execFileSync("npm", ["install", "--no-audit", "--no-fund", `node@${version}`], { cwd: directory, stdio: "ignore" })
  return {
    bin: join(directory, "node_modules", "node", "bin"),
    remove: () => rmSync(directory, { recursive: true, force: true })
  }
}

const hasPsql = (): boolean => spawnSync("psql", ["--version"]).status === 0

/** Runs on a server that stands for the reader's own. */
const onServer = (attempt: (env: NodeJS.ProcessEnv) => Promise<void>) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(PostgresServer.makeWith({}), (server) => {
        const { password, port, username } = new URL(Redacted.value(server.url("postgres")))
        return Effect.promise(() =>
          attempt({ PGHOST: "127.0.0.1", PGPORT: port, PGUSER: username, PGPASSWORD: password })
        )
      })
    )
  )

const main = async () => {
  const { positionals, values } = parseArgs({ allowPositionals: true, options: { node: { type: "string" } } })
  const steps = pages.flatMap((page) => stepsOf(readFileSync(join(root, page), "utf8")))
  const names = [...new Set(steps.map(({ quickStart }) => quickStart))]
  const wanted = positionals.length === 0 ? names : positionals
  const packed = mkdtempSync(join(tmpdir(), "systemplane-package-"))
  const node = values.node === undefined ? undefined : nodeOf(values.node)
  try {
    execFileSync("npm", ["pack", "--silent", "--pack-destination", packed], { cwd: root })
    const tarball = execFileSync("ls", [packed], { encoding: "utf8" }).trim()
    const path = node === undefined ? process.env.PATH : `${node.bin}${delimiter}${process.env.PATH}`
    let passed = 0
    let skipped = 0
    for (const name of wanted) {
      console.log(`quick start ${name}${values.node === undefined ? "" : `, Node ${values.node}`}`)
      const ofThis = steps.filter(({ quickStart }) => quickStart === name)
      const attempt = (env: NodeJS.ProcessEnv) =>
        run(ofThis, join(packed, tarball), { ...process.env, ...env, PATH: path })
      if (name !== "own-server") {
        await attempt({})
        passed++
      } else if (hasPsql()) {
        await onServer(attempt)
        passed++
      } else {
        console.log("  skipped: psql is not installed")
        skipped++
      }
    }
    console.log(`${passed} passed, 0 failed, ${skipped} skipped`)
  } finally {
    node?.remove()
    rmSync(packed, { recursive: true, force: true })
  }
}

if (import.meta.main) await main()
