import type { NanoBananaErrorType } from '@nanobanana/sdk'

/** The numbers of sysexits.h, which name the same things; the shell's own for a signal. */
export const EXIT = {
  failed: 1,
  usage: 64,
  refused: 65,
  notFound: 66,
  unavailable: 69,
  output: 73,
  later: 75,
  denied: 77,
  config: 78,
  interrupted: 130,
} as const

export const EXIT_HELP = `
Exit codes:
   0  done
  64  the call is wrong: its options, or what the service finds invalid in it
  65  the provider refused the content, or made no picture of it
  66  no such generation, key, model or input file
  69  the service or its provider is unavailable, or did not answer in time
  73  a file exists already (see --force) or cannot be written
  75  the monthly limit is reached, or there were too many requests: try later
  77  not logged in, wrong password or key, or not allowed
  78  the file of the login cannot be read
 130  interrupted
   1  anything else`

const BY_TYPE: Record<NanoBananaErrorType, number> = {
  invalid_request_error: EXIT.usage,
  authentication_error: EXIT.denied,
  permission_error: EXIT.denied,
  budget_error: EXIT.later,
  rate_limit_error: EXIT.later,
  not_found_error: EXIT.notFound,
  content_error: EXIT.refused,
  unavailable_error: EXIT.unavailable,
  upstream_error: EXIT.unavailable,
  connection_error: EXIT.unavailable,
  conflict_error: EXIT.failed,
  api_error: EXIT.failed,
}

/** A newer service may send types that are not in the table. */
export const exitCodeOf = (type: string): number =>
  Object.hasOwn(BY_TYPE, type) ? BY_TYPE[type as NanoBananaErrorType] : EXIT.failed
