"""How the platform is deployed and watched."""
