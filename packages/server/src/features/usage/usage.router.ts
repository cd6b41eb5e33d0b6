import { Usage, UsageInput } from '@nanobanana/shared'
import { router, scopedProcedure } from '../../kernel/procedures.ts'
import { report } from './usage.service.ts'

export const usageRouter = router({
  get: scopedProcedure('usage')
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/usage',
        tags: ['usage'],
        summary: 'Sums usage and cost by day, key or model',
        description:
          'Counts generations that succeeded, by UTC days of at most 366. A key needs the scope `usage` and sees its own mode.',
      },
    })
    .input(UsageInput)
    .output(Usage)
    .query(({ ctx, input }) => report(ctx.deps, ctx.principal, input)),
})
