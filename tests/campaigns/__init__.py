"""Campaigns: many exports, imports and restores under faults, in pairs, and killed."""
