import { logOptions, option, supervisedOption } from '@deos/service'

export const wanOptions = {
  profile: option.text({
    flag: 'profile',
    env: 'DEOS_WAN',
    prose: 'Network to play: aws-4-regions, aws-8-cities, clouds-12, homes, lan, zero, or a JSON file.',
  }),
  seed: option.integer({
    flag: 'seed',
    env: 'DEOS_WAN_SEED',
    prose: 'Of all that is left to chance; the same gives the same.',
    default: 1,
    min: 0,
    max: 2 ** 31,
  }),
  schedule: option.optionalText({
    flag: 'schedule',
    env: 'DEOS_WAN_SCHEDULE',
    prose: 'JSON file with what shall happen when: blackholes, resets, kills.',
  }),
  supervised: supervisedOption,
  ...logOptions,
}
