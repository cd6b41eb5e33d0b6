/** A fault only the operator can mend: the process prints the message and ends with `exitCode`. */
export class BootError extends Error {
  override name = 'BootError'
  /** EX_CONFIG of sysexits.h. */
  readonly exitCode = 78
}

/** Every fault of the environment at once; no line holds a value. */
export class ConfigError extends BootError {
  override name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(['The configuration is not valid:', ...problems.map((line) => `  ${line}`)].join('\n'))
    this.problems = problems
  }
}
