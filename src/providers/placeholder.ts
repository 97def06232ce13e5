/** What stands for a credential in every guest: it looks like no secret, and says where one is. */
export const PLACEHOLDER = "placeholder-the-real-credential-stays-outside-the-bottle";
