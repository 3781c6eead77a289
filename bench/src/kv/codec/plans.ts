/** Tokens after a context by which caches are compared. */
export const SCORED = 48

/** Contexts of each text and steps of each family. The embedded model was trained on 256 tokens at a time and reads up to 1,024. */
export const plans = {
  full: {
    calibration: { stride: 448, context: 240 },
    sensitivity: 3,
    validation: [192, 512],
    test: [192, 512],
    windows: { validation: 8, test: 8 },
    needles: 8,
    shiftWindows: 12,
    guarded: 10,
    rateRounds: 5,
    groupSize: { l4: 4, l4tokens: 2 },
    steps: {
      l3: [0.3, 0.6, 0.9, 1.2, 1.6, 2.2],
      l4: [0.3, 0.6, 0.9, 1.2, 1.6, 2.2],
      l4tokens: [0.025, 0.08, 0.25, 0.6, 0.9, 1.2, 1.6, 2.2],
    },
  },
  quick: {
    calibration: { stride: 1000, context: 240 },
    sensitivity: 1,
    validation: [192],
    test: [192],
    windows: { validation: 4, test: 6 },
    needles: 4,
    shiftWindows: 4,
    guarded: 2,
    rateRounds: 3,
    groupSize: { l4: 2, l4tokens: 1 },
    steps: { l3: [0.3, 0.9], l4: [0.3, 0.9, 1.2], l4tokens: [0.025, 0.25, 0.9, 1.2] },
  },
} as const

export type Plan = (typeof plans)[keyof typeof plans]
