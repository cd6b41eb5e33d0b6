import type { Mode } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'

/** Who makes the images of a mode; throws `provider_not_configured`. */
export function providerOf({ providers }: Pick<Deps, 'providers'>, mode: Mode): ImageProvider {
  if (mode === 'test') return providers.test
  if (providers.live === undefined) throw new AppError('provider_not_configured')
  return providers.live
}
