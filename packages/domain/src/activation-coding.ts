/**
 * How hidden states are written on a link from stage to stage: as they are; smaller, to the same bits; or rounded, which
 * changes answers: whole numbers of 8 bits, or of 4 after a Hadamard turn.
 */
export const activationCodings = ['f32', 'lossless', 'int8', 'int4h'] as const
export type ActivationCoding = (typeof activationCodings)[number]
