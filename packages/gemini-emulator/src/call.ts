import type { GenerateRequest } from './generate-request.ts'
import type { PictureStyle } from './pictures.ts'
import type { ScenarioSettings } from './scenario-settings.ts'

/** A valid request for content, and what the emulator was told to do with it. */
export interface Call {
  request: GenerateRequest
  version: string
  settings: ScenarioSettings
  signatureBytes: number
  pictureStyle: PictureStyle
  /** The same path on the second origin: where redirects lead unless told otherwise. */
  redirectUrl: string
}
