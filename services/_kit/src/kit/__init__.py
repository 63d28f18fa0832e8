"""What every Lares service shares. Import the module you need (`from kit import settings`); nothing heavy loads here."""
